"""What the belt controller says, turned into events with bag ids. No sockets, no serial port."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from edge.bridge.raw import RawEvent
from edge.bridge.store import RECENT_EVENTS, BridgeState, StateStore
from edge.messages import DeviceCommand, DeviceEvent, DeviceEventKind

#: Longest part of a bag tag that goes into the bag id (ids end at 128 characters and name files).
TAG_CHARACTERS = 64
#: Events that hold until the next of their kind.
_STATES = frozenset({DeviceEventKind.INTERLOCK, DeviceEventKind.ESTOP, DeviceEventKind.DEVICE_STATE})


class BridgeEngine:
    """Gives bags their ids, pairs exits with entries, drops repeated events, remembers across restarts."""

    def __init__(
        self,
        store: StateStore,
        stamp: Callable[[DeviceEvent], DeviceEvent] = lambda event: event,
        scan_tail_counts: int = 0,
    ) -> None:
        self._store = store
        self._stamp = stamp
        self._tail = scan_tail_counts
        self._state: BridgeState = store.load()
        self.repeated = 0
        #: Whether the belt runs; None while the controller has not said so.
        self.belt_moving: bool | None = None

    @property
    def encoder(self) -> int:
        """Newest encoder value, counts."""
        return self._state.encoder

    @property
    def interlock_closed(self) -> bool | None:
        """As the belt controller last said; None before."""
        return self._state.interlock_closed

    @property
    def estop(self) -> bool:
        """Whether the emergency stop is in force, as the belt controller last said."""
        return bool(self._state.estop)

    @property
    def beam_on(self) -> bool:
        """Whether the beam was on when it was last seen; kept across restarts."""
        return self._state.beam_on

    @beam_on.setter
    def beam_on(self, on: bool) -> None:
        if on != self._state.beam_on:
            self._state.beam_on = on
            self.save()

    @property
    def in_beam(self) -> str:
        """A bag between the entry barrier and the end of the scanned stretch; empty when there is none."""
        if self._state.open_bag:
            return self._state.open_bag
        return self._state.last_bag if self._state.encoder < self._state.scanned_at else ""

    def on_belt(self, event: RawEvent, t_ns: int) -> list[DeviceEvent]:
        """Events to publish for one report of the controller; none when it was already known."""
        kind = DeviceEventKind(event.kind)
        published = []
        if event.boot != self._state.boot:
            published += self._new_boot(event, t_ns)
        self._state.encoder = event.encoder
        if kind is DeviceEventKind.ENCODER:
            published += self._compare(event, t_ns)
            # Neither remembered nor numbered: the next report makes it old.
            report = DeviceEvent(
                kind=kind,
                event_seq=event.seq,
                encoder=event.encoder,
                event_t_ns=t_ns,
                interlock_closed=event.closed,
                device_t_us=event.device_t_us,
                belt_moving=event.moving,
            )
            return [*published, self.transient(report)]
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
            self._state.last_bag, self._state.scanned_at = bag_id or "a bag", event.encoder + self._tail
        elif kind is DeviceEventKind.INTERLOCK:
            self._state.interlock_closed = event.closed
        elif kind is DeviceEventKind.ESTOP:
            self._state.estop = event.latched
        report = DeviceEvent(
            kind=kind,
            event_seq=event.seq,
            encoder=event.encoder,
            event_t_ns=t_ns,
            bag_id=bag_id,
            bag_tag=event.tag,
            interlock_closed=event.closed if kind is DeviceEventKind.INTERLOCK else None,
            estop_pressed=event.latched if kind is DeviceEventKind.ESTOP else None,
            device_t_us=event.device_t_us,
            detail=detail,
        )
        return [*published, self._record(report)]

    def on_state(self, event: DeviceEvent, *, remember: bool) -> DeviceEvent:
        """Event for a device that changed its state. What is not remembered a reader asks for with ``status``."""
        event = event.model_copy(update={"encoder": self._state.encoder})
        return self._record(event) if remember else self.transient(event)

    def on_link(self, *, found: bool, t_ns: int, detail: str = "", device: str = "belt") -> DeviceEvent:
        """Event for a device that came or went."""
        kind = DeviceEventKind.DEVICE_FOUND if found else DeviceEventKind.DEVICE_LOST
        return self._record(
            DeviceEvent(kind=kind, device=device, encoder=self._state.encoder, event_t_ns=t_ns, detail=detail)
        )

    def transient(self, event: DeviceEvent) -> DeviceEvent:
        """Stamp an event that is neither numbered nor remembered."""
        return self._stamp(event).model_copy(update={"seq": 0})

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

    def gate(self, command: DeviceCommand) -> str:
        """:meth:`refuse_clear` of a clear line command; nothing stands against any other here."""
        if command.action != "clear_line":
            return ""
        return self.refuse_clear(command.bag_id, command.encoder_from, command.encoder_to)

    def status(self) -> dict[str, str]:
        """Interlock, encoder and open bag as text."""
        closed = self._state.interlock_closed
        return {
            "interlock": "unknown" if closed is None else "closed" if closed else "open",
            "encoder": str(self._state.encoder),
            "open_bag": self._state.open_bag,
            "estop": "in force" if self.estop else "off",
            "belt_boot": "" if self._state.boot is None else f"{self._state.boot:08x}",
            "belt_motion": "unknown" if self.belt_moving is None else "running" if self.belt_moving else "stopped",
        }

    def save(self) -> None:
        """Write the state; also called when the bridge ends, for the newest encoder value."""
        self._store.save(self._state)

    def _new_boot(self, event: RawEvent, t_ns: int) -> list[DeviceEvent]:
        """The controller started again: its encoder too, so forget all that hangs on the old counts."""
        first = self._state.boot is None
        lost, self._state.open_bag = self._state.open_bag, ""
        self._state.boot, self._state.event_seq, self._state.scanned_at = event.boot, 0, 0
        if first:
            # Nothing hangs on older counts, and readers may still ask for the event that the controller was found.
            return []
        self._state.events = [known for known in self._state.events if known.device != "belt"]
        # The event itself must already carry the new count: readers place bags by it.
        before, self._state.encoder = self._state.encoder, event.encoder
        detail = f"controller restarted, encoder is {event.encoder} after {before}"
        return [self.on_link(found=True, t_ns=t_ns, detail=f"{detail}; {lost} was open" if lost else detail)]

    def _compare(self, event: RawEvent, t_ns: int) -> list[DeviceEvent]:
        """What the report says must agree with the events; a controller that has just started sent none."""
        out: list[DeviceEvent] = []
        self.belt_moving = event.moving
        common = {"encoder": event.encoder, "event_t_ns": t_ns, "device_t_us": event.device_t_us}
        if event.closed is not None and event.closed != self._state.interlock_closed:
            self._state.interlock_closed = event.closed
            out.append(
                self._record(DeviceEvent(kind=DeviceEventKind.INTERLOCK, interlock_closed=event.closed, **common))
            )
        if event.latched is not None and event.latched != self._state.estop:
            known, self._state.estop = self._state.estop, event.latched
            if known is not None or event.latched:
                out.append(self._record(DeviceEvent(kind=DeviceEventKind.ESTOP, estop_pressed=event.latched, **common)))
        return out

    def _new_bag_id(self, tag: str, t_ns: int) -> str:
        safe = re.sub(r"[^A-Za-z0-9_-]+", "-", tag)[:TAG_CHARACTERS].strip("-") or "bag"
        number, self._state.next_bag = self._state.next_bag, self._state.next_bag + 1
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(t_ns // 1_000_000_000))
        return f"{safe}.{stamp}.{number:05d}"

    def _record(self, event: DeviceEvent) -> DeviceEvent:
        # Numbered across restarts, without a gap; kept exactly as published, boot id included.
        numbered = self._stamp(event).model_copy(update={"seq": self._state.next_seq})
        self._state.next_seq += 1
        self._state.events = [*_newest(self._state.events), numbered]
        self.save()
        return numbered


def _newest(events: list[DeviceEvent]) -> list[DeviceEvent]:
    """Room for one more: the oldest go, but of a device's states the newest stays."""
    last = {(event.kind, event.device): event.seq for event in events if event.kind in _STATES}
    excess = max(0, len(events) - RECENT_EVENTS + 1)
    return [e for e in events[:excess] if last.get((e.kind, e.device)) == e.seq] + events[excess:]
