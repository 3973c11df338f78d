"""What the belt and its devices are doing, as far as their events tell."""

from __future__ import annotations

from edge.messages import DeviceEvent, DeviceEventKind


class BeltState:
    """Encoder, the bag between the barrier's edges, the interlock, and lost devices."""

    def __init__(self) -> None:
        #: Newest known encoder reading, from any event.
        self.encoder: int | None = None
        #: Bag whose leading edge has passed the entry barrier and whose trailing edge has not.
        self.inside = ""
        self.interlock_open = False
        self.lost: dict[str, str] = {}
        self._reported: int | None = None

    def advance(self, event: DeviceEvent) -> None:
        """Take the encoder reading of a bag event; it may be older than the newest report."""
        self.encoder = max(event.encoder, event.encoder if self.encoder is None else self.encoder)

    def report(self, event: DeviceEvent, slip_counts: int) -> int | None:
        """Take an encoder report; these come in order. Returns the one before if the counter went back too far."""
        before, self._reported = self._reported, event.encoder
        if before is not None and event.encoder < before - slip_counts:
            self.encoder = event.encoder
            self.inside = ""
            return before
        self.advance(event)
        return None

    def device(self, event: DeviceEvent) -> bool:
        """Take an interlock or device event; True when the interlock has just been opened."""
        if event.kind is DeviceEventKind.INTERLOCK and event.interlock_closed is not None:
            was_open, self.interlock_open = self.interlock_open, not event.interlock_closed
            return self.interlock_open and not was_open
        if event.kind is DeviceEventKind.DEVICE_FOUND:
            self.lost.pop(event.device, None)
        if event.kind is DeviceEventKind.DEVICE_LOST:
            self.lost[event.device] = event.detail
        return False
