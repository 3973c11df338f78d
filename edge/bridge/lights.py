"""What the stack light shows in which state of the lane."""

from __future__ import annotations

from edge.messages import LaneState

#: No heartbeat of the verdict service for so long: the lane's state is not known, s.
SILENT_S = 3.5

#: (red, amber, green) by lane state; an empty state stands for silence.
TABLE: dict[str, tuple[bool, bool, bool]] = {
    "": (True, True, False),
    "STARTING": (False, True, False),
    "READY": (False, False, True),
    "SCANNING": (False, False, True),
    "DEGRADED": (False, True, True),
    "FAULT": (True, False, False),
}


class StackLight:
    """Follows the lane's heartbeat; a person's command holds until the state changes."""

    def __init__(self, now: float) -> None:
        self._state = ""
        self._heard = now
        self._due = True

    def heard(self, state: LaneState, now: float) -> None:
        """A heartbeat came."""
        self._heard = now
        self._change(state.state)

    def again(self) -> None:
        """The controller came back and does not know what it showed."""
        self._due = True

    def due(self, now: float) -> tuple[bool, bool, bool] | None:
        """What must be shown now; None while nothing changes."""
        if now - self._heard > SILENT_S:
            self._change("")
        if not self._due:
            return None
        self._due = False
        return TABLE[self._state]

    def _change(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._due = True
