"""Puts frames into order of their number and accounts for every number that never came.

No sockets, no clock: :class:`FrameSequence` is told which frames and which broken heaps arrived, and says
which frames go on. Whatever is not passed on is counted exactly once, under its reason.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

#: How many numbers given up as lost are remembered, to tell a late frame from a duplicate.
REMEMBERED: Final = 8192


@dataclass(frozen=True, slots=True)
class Frame:
    """One exposure. ``counts``: (2 bins, rows, 128) uint16, read-only, not copied from the receive buffer."""

    number: int
    t_ns: int
    exposure_ns: int
    encoder_start: int
    encoder_stop: int
    thresholds_ev: tuple[int, int]
    firmware: int
    counts: npt.NDArray[np.uint16]


@dataclass
class SequenceCounts:
    """Running totals; ``lost_frames``: numbers between the first and the last frame that were not delivered."""

    frames: int = 0
    lost_frames: int = 0
    incomplete_frames: int = 0
    duplicate: int = 0
    late: int = 0
    restarts: int = 0
    lost_bytes: int = 0


@dataclass
class FrameSequence:
    """Reorder window of ``window`` frames: a missing number is given up when one ``window`` ahead has come.

    A number known to be broken is given up as soon as everything before it is settled. Numbers that start
    again below while time goes on mean a restarted detector: counted in ``restarts`` and as one lost frame,
    because how many are missing cannot be known.
    """

    window: int
    frame_bytes: int
    counts: SequenceCounts = field(default_factory=SequenceCounts)
    _first: int = 0
    _next: int | None = None
    _newest_t_ns: int = 0
    _pending: dict[int, Frame] = field(default_factory=dict)
    _broken: dict[int, int] = field(default_factory=dict)
    _given_up: OrderedDict[int, None] = field(default_factory=OrderedDict)

    @property
    def waiting(self) -> bool:
        """True while frames are held back for an earlier one."""
        return bool(self._pending)

    def whole(self, frame: Frame) -> list[Frame]:
        """A complete frame arrived; returns the frames that may go on now, in order."""
        if self._next is None:
            self._first = self._next = frame.number
        if frame.number < self._next:
            if frame.t_ns <= self._newest_t_ns:
                self._count_past(frame.number)
                return []
            held = self.flush()
            self.counts.restarts += 1
            self.counts.lost_frames += 1
            self._first = self._next = frame.number
            self._broken.clear()
            self._given_up.clear()
            return held + self.whole(frame)
        if frame.number in self._pending:
            self.counts.duplicate += 1
            return []
        self._newest_t_ns = max(self._newest_t_ns, frame.t_ns)
        self._broken.pop(frame.number, None)
        self._pending[frame.number] = frame
        return self._release(frame.number - self.window)

    def broken(self, number: int, missing_bytes: int) -> list[Frame]:
        """A heap was given up with ``missing_bytes`` not received; returns the frames that may go on now."""
        if self._next is None:
            return []
        if number < self._next:
            self._count_past(number)
            return []
        if number not in self._pending and len(self._broken) < REMEMBERED:
            self._broken[number] = missing_bytes
        return self._release(self._next - 1)

    def flush(self) -> list[Frame]:
        """Give up every missing number below the newest frame held; returns all held frames in order."""
        return self._release(max(self._pending)) if self._pending else []

    def _count_past(self, number: int) -> None:
        if number < self._first:
            return  # from before we joined
        if number in self._given_up:
            self.counts.late += 1
        else:
            self.counts.duplicate += 1

    def _release(self, give_up_to: int) -> list[Frame]:
        """Frames from the next number on; numbers up to ``give_up_to`` are not waited for."""
        assert self._next is not None
        ready: list[Frame] = []
        while self._pending:
            frame = self._pending.pop(self._next, None)
            if frame is not None:
                ready.append(frame)
                self._next += 1
            elif self._next in self._broken or self._next <= give_up_to:
                self._lose(min(self._pending))
            else:
                break
        self.counts.frames += len(ready)
        return ready

    def _lose(self, oldest_held: int) -> None:
        """Account for the next number as lost, or for the whole gap when it is long."""
        assert self._next is not None
        missing = self._broken.pop(self._next, None)
        gap = oldest_held - self._next
        if missing is None and gap > REMEMBERED:
            # A long silence: one step, not millions; only the newest numbers can still come late.
            skipped = gap - REMEMBERED
            self.counts.lost_frames += skipped
            self.counts.lost_bytes += skipped * self.frame_bytes
            self._next += skipped
            self._broken = {number: size for number, size in self._broken.items() if number >= self._next}
            return
        self.counts.lost_frames += 1
        self.counts.incomplete_frames += missing is not None
        self.counts.lost_bytes += self.frame_bytes if missing is None else missing
        self._given_up[self._next] = None
        if len(self._given_up) > REMEMBERED:
            self._given_up.popitem(last=False)
        self._next += 1
