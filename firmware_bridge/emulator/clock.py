"""The frame clock: absolute times, so that it does not drift, and a limit on how much it may catch up."""

from __future__ import annotations

from typing import Final

#: A clock further behind than this gives up the lost time instead of sending a burst, s.
MAX_LAG_S: Final = 0.25


class FrameClock:
    """Start times of frames. Times are seconds of any monotonic clock, given from outside."""

    def __init__(self, period_s: float, now_s: float) -> None:
        self.period_s = period_s
        self.slips = 0
        self.slipped_s = 0.0
        self._origin_s = now_s
        self._frame = 0

    @property
    def start_s(self) -> float:
        """Start of the exposure of the present frame."""
        return self._origin_s + self._frame * self.period_s

    @property
    def due_s(self) -> float:
        """End of its exposure: the frame may be sent from then on."""
        return self.start_s + self.period_s

    def next(self, now_s: float) -> None:
        """Go on to the next frame; when it is MAX_LAG_S behind ``now_s``, start it now instead."""
        self._frame += 1
        lag_s = now_s - self.due_s
        if lag_s > MAX_LAG_S:
            self.slips += 1
            self.slipped_s += lag_s
            self._origin_s += lag_s
