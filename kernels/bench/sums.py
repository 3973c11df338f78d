"""Phase sums: frames per second, and the frames' bytes per second against what one core copies."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels import PhaseSums
from kernels.bench.machine import copy_bandwidth
from kernels.bench.timing import Effort, measure
from kernels.settings import BINS, COLUMNS, GROUPS

GRID_UM = 300.0
#: Belt travel of one frame at 11.7 mm/s and 119 frames/s.
STEP_UM = 98.3
ROWS = 512
PITCH_UM = 75.0
SHIFTS_UM = (-10.0, 0.0, 10.0, 20.0)
BATCHES = (1, 16, 64)


def phase_sums(quick: bool, effort: Effort) -> dict[str, Any]:
    """Rates of `PhaseSums.add` and `take` for frames of 512 rows in batches, one core, memory-resident frames."""
    count = 64 if quick else 1024  # 256 MiB: frames come from memory, not from a cache
    rng = np.random.default_rng(5)
    few = rng.poisson(8.0, (16, BINS, ROWS, COLUMNS)).astype(np.uint16)
    frames = np.tile(few, (count // len(few), 1, 1, 1))
    columns = np.arange(COLUMNS)
    offsets = columns * PITCH_UM + np.asarray(SHIFTS_UM)[columns % GROUPS]
    travel = 20_000.0 + STEP_UM * np.arange(count)
    copied, copy_timing = copy_bandwidth(effort, 8 if quick else 256)
    table: list[dict[str, Any]] = []
    for batch in BATCHES:
        sums = PhaseSums(ROWS, GRID_UM, offsets, 512, backend="host")

        def scan(sums: PhaseSums = sums, batch: int = batch) -> None:
            sums.begin(float(travel[0] - offsets.max()))
            for first in range(0, count, batch):
                sums.add(frames[first : first + batch], travel[first : first + batch])
                ready = sums.complete_columns(float(travel[first]))
                if ready >= 64:
                    sums.take(ready)

        timing = measure(scan, effort)
        rate = count / max(timing.cpu_s, 1e-9)
        table.append(
            {
                "frames_per_call": batch,
                "frames_per_second_per_core": rate,
                "bytes_per_second": rate * frames[0].nbytes,
                "of_copy_bandwidth": rate * frames[0].nbytes / copied,
                "others_busy_cores": timing.others,
            }
        )
    return {
        "rows": ROWS,
        "frame_bytes": int(frames[0].nbytes),
        "copy_bytes_per_second": copied,
        "copy_others_busy_cores": copy_timing.others,
        "batches": table,
    }
