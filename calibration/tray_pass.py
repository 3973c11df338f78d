"""The reference tray through the beam: belt events and frames to phase sums of its plates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

import kernels
from calibration.devices import Belt, BeltEvent, Frame
from calibration.pixels import U8
from calibration.recorder import Recorder
from calibration.steps import CalibrationError, Limits, Settings
from calibration.tray import Region, Tray, region
from firmware_bridge.scanner import Scanner

F32 = npt.NDArray[np.float32]

#: The tray's length by the light barrier may differ from its drawing by this much, mm.
LENGTH_TOLERANCE_MM = 3.0
#: Air this close to the tray is not taken for air, mm.
GUARD_MM = 1.5
#: Frames are added to the phase sums in batches of this many.
_BATCH = 16


@dataclass(frozen=True)
class RecordedTray:
    """Phase sums, weights and squared weights of the tray; its plates; how many leading columns are air."""

    sums: tuple[F32, F32, F32]
    regions: tuple[Region, ...]
    air_columns: int


def record_tray(
    recorder: Recorder,
    belt: Belt,
    scanner: Scanner,
    *,
    tray: Tray,
    good: U8,
    settings: Settings,
    limits: Limits,
    tick: Callable[[float], None],
) -> RecordedTray:
    """Start the belt, wait for the tray at the light barrier, sum its frames, stop the belt.

    The belt stops as soon as the last plate has passed: the next bag may be close behind. Belt events are read only
    until the tray has left the barrier, so that the bridge still gets those of that bag.
    """
    h = scanner.object_grid_um
    lead_columns = settings.lead_air_mm * 1e3 / h
    regions = tuple(region(plate, lead_columns, scanner) for plate in tray.plates)
    columns = max(r.column1 for r in regions) + 1
    offsets = np.asarray(scanner.column_offsets_um())
    # No bag can have entered before the belt moved: older events are repeats.
    recorder.drain()
    started_at = next(recorder.stream("tray")).encoder_stop
    belt.start_belt()
    entry = wait_for_entry(recorder, belt, started_at, scanner, settings, tick, tray.name)
    lead_um = entry.encoder * scanner.encoder_um + scanner.barrier_to_beam_mm * 1e3
    origin_um = lead_um - settings.lead_air_mm * 1e3
    # While the last column of the detector still adds to the last plate, the first one is that much further on.
    end_um = origin_um + (columns + 1) * h + float(offsets.max())
    sums = kernels.PhaseSums(scanner.rows, h, offsets, capacity_columns=int((end_um - origin_um) / h) + 3)
    sums.begin(origin_um)
    watch = _Watch(belt, entry, scanner, tray)
    first = last = None
    taken = 0
    for batch in _batches(recorder):
        travel = np.asarray([0.5 * (f.encoder_start + f.encoder_stop) * scanner.encoder_um for f in batch])
        inside = np.flatnonzero(travel <= end_um)
        if inside.size:
            sums.add(np.stack([batch[k].counts for k in inside]), travel[inside], good)
        watch.look(batch[-1])
        first = batch[0].number if first is None else first
        last, taken = batch[-1].number, taken + len(batch)
        tick(min(0.99, float((travel[-1] - entry.encoder * scanner.encoder_um) / (end_um - lead_um + 3e4))))
        if travel[-1] >= end_um or sums.complete_columns(float(travel[-1])) >= columns:
            break
    belt.stop_belt()
    lost = (last or 0) - (first or 0) + 1 - taken
    if lost > limits.max_lost_frames * taken:
        raise CalibrationError(
            "tray",
            f"{lost} of {lost + taken} frames were lost while the tray passed",
            "Check the network to the detector and the load of this machine; send the tray again",
        )
    watch.check()
    return RecordedTray(sums.take(columns), regions, max(1, int(lead_columns - GUARD_MM * 1e3 / h)))


def _batches(recorder: Recorder) -> Iterator[list[Frame]]:
    stream = recorder.stream("tray")
    while True:
        yield list(islice(stream, _BATCH))


def wait_for_entry(
    recorder: Recorder,
    belt: Belt,
    started_at: int,
    scanner: Scanner,
    settings: Settings,
    tick: Callable[[float], None],
    name: str,
    step: str = "tray",
) -> BeltEvent:
    """The event of what passes the light barrier next; :class:`CalibrationError` of ``step`` when nothing comes."""
    frames = int(settings.tray_timeout_s * scanner.frame_rate_hz)
    travelled = 0
    for frame in islice(recorder.stream(step), frames):
        travelled = frame.encoder_stop - started_at
        tick(0.0)
        for event in belt.poll():
            if event.kind == "bag_entry" and event.encoder >= started_at:
                return event
    raise CalibrationError(
        step,
        f"no tray at the light barrier within {settings.tray_timeout_s:g} s (the belt moved "
        f"{travelled * scanner.encoder_um / 1e3:.0f} mm)",
        f"Put the {name} on the belt before the light barrier"
        if travelled > 0
        else "The belt stands still: check interlock and drive",
    )


class _Watch:
    """Compares the tray's length at the light barrier with its drawing."""

    def __init__(self, belt: Belt, entry: BeltEvent, scanner: Scanner, tray: Tray) -> None:
        self._belt, self._entry, self._scanner, self._nominal_mm = belt, entry, scanner, tray.length_mm
        self._name = tray.name
        self._length_mm: float | None = None

    def look(self, frame: Frame) -> None:
        if self._length_mm is not None:
            return
        for event in self._belt.poll():
            if event.kind == "bag_exit" and event.encoder > self._entry.encoder:
                self._length_mm = (event.encoder - self._entry.encoder) * self._scanner.encoder_um / 1e3
                if abs(self._length_mm - self._nominal_mm) > LENGTH_TOLERANCE_MM:
                    self.check()

    def check(self) -> None:
        """Refuse anything that is not as long as the tray."""
        if self._length_mm is None or abs(self._length_mm - self._nominal_mm) > LENGTH_TOLERANCE_MM:
            found = f"longer than the {self._name}" if self._length_mm is None else f"{self._length_mm:.0f} mm long"
            raise CalibrationError(
                "tray",
                f"what passed the light barrier is {found}; the {self._name} is {self._nominal_mm:g} mm long",
                f"Put the {self._name} on the belt, nothing else",
            )
