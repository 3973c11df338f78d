"""Phase sums: frames per second, and the frames' bytes per second against what one core copies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels import PhaseSums
from kernels.backends import BackendName
from kernels.bench.timing import Effort, cpu, measure_in_turn, medians, ratio
from kernels.settings import BINS, COLUMNS, GROUPS
from kernels.types import F64, U16

GRID_UM = 300.0
#: Belt travel of one frame at 11.7 mm/s and 119 frames/s.
STEP_UM = 98.3
ROWS = 512
PITCH_UM = 75.0
SHIFTS_UM = (-10.0, 0.0, 10.0, 20.0)
#: From the plane of the mask to that of the object.
MAGNIFICATION = 1.026
BATCHES = (1, 4, 16, 64)
#: Columns that are taken at once, a slab of the lane.
SLAB = 64


def phase_sums(quick: bool, effort: Effort) -> dict[str, Any]:
    """Rates of `PhaseSums.add` and `take`, one core, frames of 512 rows in memory, in turn with a copy of the frames.

    ``of_copy_bandwidth`` is the time of copying the frames over the time of adding them up, a byte of a frame counting
    once on both sides. The sums, which are read and written besides, are not in it; ``sums_bytes_per_frame`` says how
    many bytes that is for a frame that is added alone.
    """
    count = 64 if quick else 1024  # 256 MiB: frames come from memory, not from a cache
    frames = frames_of(count)
    target = np.zeros_like(frames)
    works: dict[str, Callable[[], object]] = {"copy": lambda: np.copyto(target, frames)}
    works |= {str(batch): scan(frames, batch, "host") for batch in BATCHES}
    found = measure_in_turn(works, effort)
    usual = medians(found)
    table: list[dict[str, Any]] = []
    for batch in BATCHES:
        timing = usual[str(batch)]
        table.append(
            {
                "frames_per_call": batch,
                "frames_per_second_per_core": count / max(timing.cpu_s, 1e-9),
                "bytes_per_second": frames.nbytes / max(timing.cpu_s, 1e-9),
                "of_copy_bandwidth": ratio(found["copy"], found[str(batch)], cpu),
                "others_busy_cores": timing.others,
            }
        )
    reached = math.ceil(float(np.ptp(offsets_um())) / GRID_UM) + 2
    return {
        "rows": ROWS,
        "frame_bytes": int(frames[0].nbytes),
        "sums_bytes_per_frame": 2 * reached * GROUPS * BINS * ROWS * np.dtype(np.float32).itemsize,
        "copy_bytes_per_second": frames.nbytes / max(usual["copy"].cpu_s, 1e-9),
        "copy_others_busy_cores": usual["copy"].others,
        "batches": table,
    }


def frames_of(count: int, rows: int = ROWS) -> U16:
    """Frames (count, 2, rows, 128) of Poisson noise, 16 of them distinct."""
    few = np.random.default_rng(5).poisson(8.0, (16, BINS, rows, COLUMNS)).astype(np.uint16)
    return np.tile(few, (count // len(few), 1, 1, 1))


def offsets_um() -> F64:
    """Where the line of sight of every column meets the object plane."""
    columns = np.arange(COLUMNS)
    found: F64 = MAGNIFICATION * (columns * PITCH_UM + np.asarray(SHIFTS_UM)[columns % GROUPS])
    return found


def scan(frames: U16, batch: int, backend: BackendName) -> Callable[[], object]:
    """All frames of a bag in calls of ``batch``, columns taken as the lane takes them."""
    offsets = offsets_um()
    travel = 20_000.0 + STEP_UM * np.arange(len(frames))
    sums = PhaseSums(frames.shape[2], GRID_UM, offsets, 2 * SLAB + 64, backend=backend)

    def work() -> None:
        sums.begin(float(travel[0] - offsets.max()))
        for first in range(0, len(frames), batch):
            sums.add(frames[first : first + batch], travel[first : first + batch])
            while sums.complete_columns(float(travel[first])) >= SLAB:
                sums.take(SLAB)

    return work
