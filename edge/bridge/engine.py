"""What the belt controller says, turned into events with bag ids. No sockets, no serial port."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol

from edge.bridge.store import RECENT_EVENTS, BridgeState, StateStore
from edge.messages import DeviceEvent, DeviceEventKind

#: Longest part of a bag tag that goes into the bag id (ids end at 128 characters and name files).
TAG_CHARACTERS = 64


class RawEvent(Protocol):
    """What :class:`firmware_bridge.belt.BeltController` reports."""

    @property
    def kind(self) -> str:
        """bag_entry, bag_exit, interlock or encoder."""

    @property
    def seq(self) -> int:
        """Counter of the controller within one boot; the same again when it sends an event twice."""

    @property
    def boot(self) -> int:
        """Changes whenever the controller starts."""

    @property
    def encoder(self) -> int:
        """Belt encoder when it happened, counts."""

    @property
    def tag(self) -> str:
        """What was read from the bag."""

    @property
    def closed(self) -> bool | None:
        """Interlock state."""


class BridgeEngine:
    """Gives bags their ids, pairs exits with entries, drops repeated events, remembers across restarts."""

    def __init__(
        self,
        store: StateStore,
        stamp: Callable[[DeviceEvent], DeviceEvent] = lambda event: event,
    ) -> None:
        self._store = store
        self._stamp = stamp
        self._state: BridgeState = store.load()
        self.repeated = 0

    @property
    def encoder(self) -> int:
        """Newest encoder value, counts."""
        return self._state.encoder

    def on_belt(self, event: RawEvent, t_ns: int) -> list[DeviceEvent]:
        """Events to publish for one report of the controller; none when it was already known."""
        kind = DeviceEventKind(event.kind)
        published = []
        if event.boot != self._state.boot:
            published += self._new_boot(event, t_ns)
        self._state.encoder = event.encoder
        if kind is DeviceEventKind.ENCODER:
            # Neither remembered nor numbered: the next report makes it old.
            report = DeviceEvent(kind=kind, event_seq=event.seq, encoder=event.encoder, event_t_ns=t_ns)
            return [*published, self._stamp(report).model_copy(update={"seq": 0})]
        if event.seq <= self._state.event_seq:
            self.repeated += 1
            return published
        self._state.event_seq = event.seq
        bag_id, detail = "", ""
        if kind is DeviceEventKind.BAG_ENTRY:
            if self._state.open_bag:
                detail = f"no exit was seen of {self._state.open_bag}"
            bag_id = self._state.open_bag = self._new_bag_id(event.tag, t_ns)
        elif kind is DeviceEventKind.BAG_EXIT:
            bag_id, self._state.open_bag = self._state.open_bag, ""
            detail = "" if bag_id else "no entry was seen"
        elif kind is DeviceEventKind.INTERLOCK:
            self._state.interlock_closed = event.closed
        report = DeviceEvent(
            kind=kind,
            event_seq=event.seq,
            encoder=event.encoder,
            event_t_ns=t_ns,
            bag_id=bag_id,
            bag_tag=event.tag,
            interlock_closed=event.closed if kind is DeviceEventKind.INTERLOCK else None,
            detail=detail,
        )
        return [*published, self._record(report)]

    def on_link(self, *, found: bool, t_ns: int, detail: str = "", device: str = "belt") -> DeviceEvent:
        """Event for a device that came or went."""
        kind = DeviceEventKind.DEVICE_FOUND if found else DeviceEventKind.DEVICE_LOST
        return self._record(
            DeviceEvent(kind=kind, device=device, encoder=self._state.encoder, event_t_ns=t_ns, detail=detail)
        )

    def events_since(self, seq: int) -> tuple[DeviceEvent, ...]:
        """Remembered events with a larger bridge seq, oldest first."""
        return tuple(event for event in self._state.events if event.seq > seq)

    def refuse_clear(self, bag_id: str, encoder_from: int, encoder_to: int) -> str:
        """Why the line must not be cleared for this bag and window; empty when it may.

        The last gate before the hardware: only a bag that entered here, only a window that lies behind its entry.
        """
        entries = [e for e in self._state.events if e.kind is DeviceEventKind.BAG_ENTRY and e.bag_id == bag_id]
        if not bag_id or not entries:
            return f"clear_line: bag {bag_id!r} did not enter at this belt"
        if not entries[0].encoder <= encoder_from < encoder_to:
            return f"clear_line: window {encoder_from}..{encoder_to} is empty or before the bag's entry"
        return ""

    def status(self) -> dict[str, str]:
        """Interlock, encoder and open bag as text."""
        closed = self._state.interlock_closed
        return {
            "interlock": "unknown" if closed is None else "closed" if closed else "open",
            "encoder": str(self._state.encoder),
            "open_bag": self._state.open_bag,
        }

    def save(self) -> None:
        """Write the state; also called when the bridge ends, for the newest encoder value."""
        self._store.save(self._state)

    def _new_boot(self, event: RawEvent, t_ns: int) -> list[DeviceEvent]:
        """The controller started again: its encoder too, so forget all that hangs on the old counts."""
        first = self._state.boot is None
        lost, self._state.open_bag = self._state.open_bag, ""
        self._state.boot, self._state.event_seq = event.boot, 0
        self._state.events = []
        if first:
            return []
        # The event itself must already carry the new count: readers place bags by it.
        before, self._state.encoder = self._state.encoder, event.encoder
        detail = f"controller restarted, encoder is {event.encoder} after {before}"
        return [self.on_link(found=True, t_ns=t_ns, detail=f"{detail}; {lost} was open" if lost else detail)]

    def _new_bag_id(self, tag: str, t_ns: int) -> str:
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", tag)[:TAG_CHARACTERS].strip("-") or "bag"
        number, self._state.next_bag = self._state.next_bag, self._state.next_bag + 1
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(t_ns // 1_000_000_000))
        return f"{safe}.{stamp}.{number:05d}"

    def _record(self, event: DeviceEvent) -> DeviceEvent:
        # Numbered across restarts, without a gap; kept exactly as published, boot id included.
        numbered = self._stamp(event).model_copy(update={"seq": self._state.next_seq})
        self._state.next_seq += 1
        self._state.events = [*self._state.events[-RECENT_EVENTS + 1 :], numbered]
        self.save()
        return numbered
