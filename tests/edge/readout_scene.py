"""A small scanner for readout tests: frames with random counts along a belt, and the events of its bags."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import kernels
from edge.config import Belt, Config, Lane, Retrieval
from edge.messages import DeviceEvent, DeviceEventKind, Slab
from edge.readout.engine import ReadoutEngine, SlabOut
from edge.readout.ports import PixelMask
from firmware_bridge.scanner import COLUMNS, Scanner
from kernels.reference.phase_sums import phase_sums

SLAB_COLUMNS = 16
STEP_UM = 600.0


def config(**lane: object) -> Config:
    """16 native rows binned by 4, light barrier 12 mm before the beam, short bags."""
    return Config(
        lane=Lane.model_validate(lane),
        scanner=Scanner(native_rows=16, barrier_to_beam_mm=12.0, frame_rate_hz=100.0, belt_speed_mm_s=STEP_UM / 10),
        belt=Belt(lead_air_mm=2.0, max_bag_mm=60.0),
        retrieval=Retrieval(slab_columns=SLAB_COLUMNS),
    )


CONFIG = config()
OFFSETS = np.asarray(CONFIG.scanner.column_offsets_um())


@dataclass(frozen=True)
class FakeFrame:
    """What the engine reads of a detector frame."""

    number: int
    t_ns: int
    exposure_ns: int
    encoder_start: int
    encoder_stop: int
    counts: npt.NDArray[np.uint16]

    @property
    def travel_um(self) -> float:
        return (self.encoder_start + self.encoder_stop) / 2 * CONFIG.scanner.encoder_um


def frames_at(starts_um: Sequence[float], seed: int = 0) -> list[FakeFrame]:
    """One frame per start of travel, each 60 µm long, numbered from 100."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 65535, (len(starts_um), 2, CONFIG.scanner.rows, COLUMNS), dtype=np.uint16)
    return [
        FakeFrame(100 + n, 1000 * (n + 1), 500, round(s), round(s) + 60, counts[n]) for n, s in enumerate(starts_um)
    ]


def entry(bag: str, at_mm: float, seq: int = 1) -> DeviceEvent:
    return DeviceEvent(seq=seq, kind=DeviceEventKind.BAG_ENTRY, encoder=round(at_mm * 1e3), bag_id=bag)


def leave(bag: str, at_mm: float, seq: int = 2) -> DeviceEvent:
    return DeviceEvent(seq=seq, kind=DeviceEventKind.BAG_EXIT, encoder=round(at_mm * 1e3), bag_id=bag)


def engine(mask: npt.NDArray[np.uint8] | None = None, now: float = 0.0) -> ReadoutEngine:
    scanner = CONFIG.scanner
    capacity = 2 * SLAB_COLUMNS + round(float(np.ptp(OFFSETS)) / scanner.object_grid_um) + 8
    return ReadoutEngine(
        CONFIG,
        lambda: kernels.PhaseSums(scanner.rows, scanner.object_grid_um, OFFSETS, capacity),
        lambda: PixelMask("cal-test", mask),
        now,
    )


def drive(
    readout: ReadoutEngine, frames: Sequence[FakeFrame], events: Sequence[DeviceEvent], cuts: Sequence[int] = ()
) -> list[SlabOut]:
    """Feed frames in portions that end before ``cuts``; an event goes in before the first later frame's portion."""
    slabs: list[SlabOut] = []
    waiting = list(events)
    edges = sorted({0, len(frames), *(c for c in cuts if c < len(frames))})
    for first, end in itertools.pairwise(edges):
        portion = frames[first:end]
        while waiting and waiting[0].encoder <= portion[-1].encoder_stop:
            slabs += readout.on_event(waiting.pop(0), 0.0)
        slabs += readout.on_frames(portion, 0, 0.0)
    return slabs


def of(slabs: Sequence[SlabOut], bag: str) -> list[SlabOut]:
    return [item for item in slabs if item[0].bag_id == bag]


def check_protocol(slabs: Sequence[SlabOut]) -> Slab:
    """The rules of one bag's slabs: numbered without a gap, columns without a gap, exactly one last. Returns it."""
    headers = [slab for slab, _ in slabs]
    assert [h.index for h in headers] == list(range(len(headers)))
    assert [h.last for h in headers] == [False] * (len(headers) - 1) + [True]
    column = 0
    for header, arrays in slabs:
        assert header.column0 == column
        column += header.columns
        assert tuple(arrays) == Slab.ARRAYS
        assert arrays["phase_sums"].shape == (4, 2, header.rows, header.columns)
        assert arrays["weights"].shape == arrays["weights_sq"].shape == (COLUMNS, header.columns)
        assert header.last or header.columns == SLAB_COLUMNS
    return headers[-1]


def check_sums(
    slabs: Sequence[SlabOut], frames: Sequence[FakeFrame], mask: npt.NDArray[np.uint8] | None = None
) -> None:
    """Slabs of one bag against the direct evaluation over every delivered frame."""
    header = slabs[-1][0]
    columns = header.column0 + header.columns
    good = np.ones((2, header.rows, COLUMNS), np.uint8) if mask is None else mask
    expected = phase_sums(
        np.stack([f.counts for f in frames]),
        np.array([f.travel_um for f in frames]),
        OFFSETS.astype(np.float64),
        good,
        header.grid_um,
        header.origin_um,
        columns,
    )
    for name, direct in zip(Slab.ARRAYS, expected, strict=True):
        joined = np.concatenate([arrays[name] for _, arrays in slabs], axis=-1)
        scale = max(1.0, float(np.abs(direct).max()))
        np.testing.assert_allclose(joined, direct, rtol=0, atol=2e-6 * scale)
