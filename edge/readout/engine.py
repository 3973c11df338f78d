"""Frames and belt events in, slabs of phase sums out: the computing part of the readout, without sockets.

Each open bag has a window on the belt and its own accumulator, so bags may follow each other closer than the
detector is wide. Whatever goes wrong ends the bag with one last slab that names the fault; nothing is silent.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.config import Config
from edge.messages import Arrays, DeviceEvent, DeviceEventKind, Fault, Slab
from edge.readout.ports import ALL_PIXELS, FrameLike, PixelMask, Sums
from edge.readout.window import SLIP_UM, BagWindow, Geometry, empty_arrays, lost_between, odd_travel

SlabOut = tuple[Slab, Arrays]

#: A detector that says nothing for so long while a bag is on the belt has stopped, s.
SILENCE_S = 3.0
#: The belt may roll back a little; a frame further back than this means the encoder was reset, µm.
ROLL_BACK_UM = 10_000.0
#: A bag that entered further ahead than this of the belt's position belongs to another encoder count, µm.
FAR_AHEAD_UM = 200_000.0
#: More open bags than fit between barrier and detector: their exits are being lost.
MAX_OPEN_BAGS = 8
#: Bag ids that are remembered so that a repeated event opens no second window.
MAX_KNOWN_BAGS = 1024
#: Frames that are summed in one call at most (bounds the copy).
MAX_BATCH = 32


@dataclass
class _Open:
    window: BagWindow
    sums: Sums | None = None
    mask: PixelMask = ALL_PIXELS


class ReadoutEngine:
    """Holds the open bags. Every method returns the slabs that are due now, in order; times are monotonic seconds."""

    def __init__(
        self, config: Config, make_sums: Callable[[], Sums], pixel_mask: Callable[[], PixelMask], now: float
    ) -> None:
        self._geometry = Geometry.of(config)
        self._rows = config.scanner.rows
        self._slab_columns = config.retrieval.slab_columns
        # One call to the kernel must not run ahead of its ring of columns.
        self._batch_um = self._slab_columns * self._geometry.grid_um / 2
        self._make_sums = make_sums
        # Made before the service is READY: a GPU compiles its kernels and takes its memory here, not while a bag comes.
        self._spare: list[Sums] = [make_sums()]
        self._pixel_mask = pixel_mask
        self._bags: OrderedDict[str, _Open] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._log = logging.getLogger("readout")
        self._last: FrameLike | None = None
        self._last_travel: float | None = None
        self._last_frame_s = now
        self._lost_packets = 0
        self._out: list[SlabOut] = []

    @property
    def open_bags(self) -> tuple[str, ...]:
        """Bags between entry and last slab, oldest first."""
        return tuple(self._bags)

    def forget(self, bag_id: str) -> None:
        """Never open a window for this bag: an earlier readout has finished it."""
        self._known[bag_id] = None
        if len(self._known) > MAX_KNOWN_BAGS:
            self._known.popitem(last=False)

    def on_event(self, event: DeviceEvent, now: float) -> list[SlabOut]:
        """Take one event of the bridge; other kinds than entry and exit change nothing."""
        if event.kind is DeviceEventKind.BAG_ENTRY and event.bag_id and event.bag_id not in self._known:
            self._enter(event, now)
        elif event.kind is DeviceEventKind.BAG_EXIT and event.bag_id in self._bags:
            self._exit(self._bags[event.bag_id], event)
        return self._flush()

    def on_frames(self, frames: Sequence[FrameLike], lost_packets: int, now: float) -> list[SlabOut]:
        """Sum whole frames, in order of arrival. ``lost_packets``: running total of the stream."""
        if frames:
            self._last_frame_s = now
            self._lost_packets = lost_packets
        batch: list[tuple[FrameLike, float]] = []
        for frame in frames:
            travel = (frame.encoder_start + frame.encoder_stop) / 2 * self._geometry.encoder_um
            if batch and (len(batch) == MAX_BATCH or abs(travel - batch[0][1]) > self._batch_um):
                self._sum(batch)
                batch = []
            if self._last is not None and self._last_travel is not None:
                if travel < self._last_travel - ROLL_BACK_UM:
                    self._sum(batch)
                    batch = []
                    self._encoder_reset(travel)
                else:
                    moved = travel - self._last_travel
                    missing = lost_between(self._last.number, frame.number, moved, self._geometry)
                    odd_um = odd_travel(missing, moved, self._geometry)
                    for bag in tuple(self._bags.values()):
                        bag.window.lose(self._last_travel, travel, missing)
                        bag.window.odd_um += odd_um
                        if bag.window.odd_um > SLIP_UM:
                            self._give_up(bag, Fault.IDENTITY_DOUBT, "the belt or its encoder slips")
            else:
                for bag in tuple(self._bags.values()):
                    self._check_start(bag, travel)
            self._last, self._last_travel = frame, travel
            batch.append((frame, travel))
        self._sum(batch)
        return self._flush()

    def on_tick(self, now: float) -> list[SlabOut]:
        """Give up bags while the detector is silent. Call it after the frames at hand were taken."""
        silent_s = now - self._last_frame_s
        if silent_s > SILENCE_S:
            for bag in tuple(self._bags.values()):
                if now - bag.window.opened_s > SILENCE_S:
                    self._give_up(bag, Fault.DETECTOR_FAULT, f"no frame for {silent_s:.1f} s")
        return self._flush()

    def abandon(self, bag_id: str, fault: Fault, why: str) -> list[SlabOut]:
        """Give up one bag for a reason from outside."""
        if bag_id in self._bags:
            self._give_up(self._bags[bag_id], fault, why)
        return self._flush()

    def _enter(self, event: DeviceEvent, now: float) -> None:
        bag = _Open(BagWindow(self._geometry, event.bag_id, event.encoder, now))
        self.forget(event.bag_id)
        self._bags[event.bag_id] = bag
        if len(self._bags) > MAX_OPEN_BAGS:
            self._give_up(bag, Fault.IDENTITY_DOUBT, f"{MAX_OPEN_BAGS} bags are open, exits are missing")
        elif self._last_travel is not None:
            self._check_start(bag, self._last_travel)

    def _exit(self, bag: _Open, event: DeviceEvent) -> None:
        length_um = bag.window.exit_at(event.encoder)
        if length_um <= 0:
            self._give_up(bag, Fault.INCOMPLETE_SCAN, f"exit at {event.encoder} lies before its entry")
        elif length_um > self._geometry.max_bag_um:
            self._give_up(bag, Fault.OVERSIZE_BAG, f"{length_um / 1e3:.0f} mm long")
        elif self._last_travel is not None:
            self._drain(bag, self._last_travel)

    def _check_start(self, bag: _Open, travel: float) -> None:
        """Whether the recording of a bag can still begin, now that the belt is at ``travel``."""
        if bag.window.missed_start(travel):
            self._give_up(bag, Fault.SERVICE_RESTART, "its first columns passed before readout knew of it")
        elif bag.window.entry_um - travel > FAR_AHEAD_UM:
            self._give_up(bag, Fault.IDENTITY_DOUBT, "it entered far ahead of the belt: the encoder was reset")

    def _encoder_reset(self, travel: float) -> None:
        for bag in tuple(self._bags.values()):
            if bag.window.entry_um > travel:
                self._give_up(bag, Fault.IDENTITY_DOUBT, f"the encoder jumped back to {travel / 1e3:.1f} mm")

    def _sum(self, batch: Sequence[tuple[FrameLike, float]]) -> None:
        if not batch:
            return
        travel = np.array([s for _, s in batch])
        counts: npt.NDArray[np.uint16] | None = None
        for bag in tuple(self._bags.values()):
            window = bag.window
            if bag.sums is None:
                if travel.max() < window.first_travel_um:
                    continue
                self._begin(bag)
            else:
                # After a jump of the belt the accumulator has to be emptied up to here first.
                self._drain(bag, float(travel.min()))
            inside = np.flatnonzero((travel >= window.first_travel_um) & (travel <= window.last_travel_um))
            if inside.size and bag.sums is not None:
                if counts is None:
                    counts = np.stack([frame.counts for frame, _ in batch])
                chosen = counts if inside.size == len(batch) else counts[inside]
                bag.sums.add(chosen, travel[inside], bag.mask.good_pixels)
                window.saw([batch[int(k)][0] for k in inside])
            self._drain(bag, float(travel[-1]))

    def _begin(self, bag: _Open) -> None:
        bag.sums = self._spare.pop() if self._spare else self._make_sums()
        bag.sums.begin(bag.window.origin_um)
        bag.mask = self._pixel_mask()
        bag.window.lost_packets_before = self._lost_packets

    def _drain(self, bag: _Open, travel: float) -> None:
        """Emit what is complete; end the bag when that is all, or when it is too long."""
        window, total = bag.window, bag.window.columns
        if bag.sums is None or window.bag_id not in self._bags:
            return
        ready = bag.sums.complete_columns(travel)
        if total is not None:
            ready = max(0, min(ready, total - window.column0))
        while ready >= self._slab_columns:
            self._emit(bag, self._slab_columns, last=total == window.column0 + self._slab_columns)
            ready -= self._slab_columns
        if window.bag_id not in self._bags:
            return
        if total is not None and window.column0 + ready >= total:
            self._emit(bag, ready, last=True)
        elif total is None and travel > window.oversize_travel_um:
            self._give_up(bag, Fault.OVERSIZE_BAG, "no exit was seen within the longest allowed length")

    def _give_up(self, bag: _Open, fault: Fault, why: str) -> None:
        self._log.warning("bag %s: %s (%s)", bag.window.bag_id, why, fault.value)
        self._emit(bag, 0, last=True, fault=fault)

    def _emit(self, bag: _Open, columns: int, *, last: bool, fault: Fault | None = None) -> None:
        window = bag.window
        arrays = empty_arrays(self._rows)
        lost_packets = 0
        if bag.sums is not None:
            lost_packets = self._lost_packets - window.lost_packets_before
            if columns:
                arrays = dict(zip(Slab.ARRAYS, bag.sums.take(columns), strict=True))
        encoder = self._last.encoder_stop if self._last else window.entry_encoder
        slab = Slab(
            **window.header(),
            encoder=encoder,
            last=last,
            fault=fault,
            columns=columns,
            rows=self._rows,
            lost_packets=lost_packets,
            calibration_id=bag.mask.calibration_id,
        )
        window.index += 1
        window.column0 += columns
        self._out.append((slab, arrays))
        if last:
            del self._bags[window.bag_id]
            if bag.sums is not None:
                self._spare = [*self._spare, bag.sums][-2:]
                bag.sums = None

    def _flush(self) -> list[SlabOut]:
        out, self._out = self._out, []
        return out
