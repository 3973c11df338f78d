"""Events of the belt controller: what they say, and their order, gaps and acknowledgement."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import Final, Literal

from firmware_bridge.belt_packets import Kind, Light, Packet

_LOG = logging.getLogger(__name__)
EventKind = Literal["bag_entry", "bag_exit", "interlock", "estop", "encoder"]
_NAMES: Final[dict[Kind, EventKind]] = {
    Kind.BAG_ENTRY: "bag_entry",
    Kind.BAG_EXIT: "bag_exit",
    Kind.INTERLOCK: "interlock",
    Kind.ESTOP: "estop",
    Kind.ENCODER: "encoder",
}


@dataclass(frozen=True)
class BeltEvent:
    """Something that happened at the belt.

    ``seq`` counts bag, interlock and emergency-stop events without a gap within one ``boot`` of the controller; an
    encoder report has the seq of the last event before it. ``device_t_us``: when it happened, µs since the controller
    started. ``closed``: interlock events and encoder reports. ``pressed`` (the button is in), ``latched`` (the stop is
    in force until :meth:`BeltController.reset_estop`): estop events and encoder reports. ``moving``, ``clear_line``
    (energised), ``lights`` (lamps that are lit): encoder reports only.
    """

    kind: EventKind
    seq: int
    encoder: int
    boot: int
    tag: str = ""
    closed: bool | None = None
    moving: bool | None = None
    clear_line: bool | None = None
    pressed: bool | None = None
    latched: bool | None = None
    lights: Light | None = None
    device_t_us: int = 0


class EventOrder:
    """Takes the controller's packets; hands events out in order, each once, and says what to acknowledge."""

    def __init__(self) -> None:
        #: Start of the controller that packets come from, and the one that the caller has been told of.
        self.boot = self.told_boot = 0
        self._expected: int | None = None
        self._handed_out: int | None = None
        self._acknowledged = 0
        self._events: deque[BeltEvent] = deque()

    def begin(self, boot: int, oldest: int) -> None:
        """The controller said with its WELCOME where its events begin that nobody has acknowledged.

        The first one counts: HELLO may have been sent, and answered, more than once.
        """
        if self._expected is None:
            self.boot = self.told_boot = boot
            self._expected = oldest

    def take(self, packet: Packet) -> bool:
        """Sort in a numbered event or an encoder report; True when the last acknowledgement must be sent again."""
        if self._expected is None:
            return False
        if packet.boot != self.boot:
            _LOG.warning("belt controller restarted: its encoder and its events begin again")
            self.boot, self._expected, self._handed_out, self._acknowledged = packet.boot, 1, None, 0
        if packet.kind == Kind.ENCODER:
            self._events.append(_event(packet))
            self._skip_dropped(int(packet.values[-1]))
        elif packet.seq == self._expected:
            self._events.append(_event(packet))
            self._expected += 1
        else:
            # A later seq: a packet got lost on the line, and the controller repeats all from the missing one.
            # An acknowledged one: the acknowledgement got lost.
            return packet.seq <= self._acknowledged
        return False

    def hand_out(self) -> list[BeltEvent]:
        """Events since the last call. The caller has dealt with them when it comes again."""
        events = list(self._events)
        self._events.clear()
        self.told_boot = self.boot
        numbered = [event.seq for event in events if event.kind != "encoder"]
        self._handed_out = numbered[-1] if numbered else None
        return events

    def acknowledge(self) -> int | None:
        """Seq to acknowledge because what was handed out is dealt with; None when there is nothing new."""
        if self._handed_out is None:
            return None
        self._acknowledged, self._handed_out = self._handed_out, None
        return self._acknowledged

    @property
    def acknowledged(self) -> int:
        """Seq of the last event that was dealt with."""
        return self._acknowledged

    def forget(self) -> None:
        """What was handed out was not dealt with: the controller shall send it again."""
        self._handed_out = None

    def _skip_dropped(self, oldest: int) -> None:
        """The controller keeps a bounded number of events: what is older than ``oldest`` will not come any more."""
        if self._expected is not None and oldest > self._expected:
            _LOG.error(
                "belt controller: events %d to %d are lost; nobody took them in time", self._expected, oldest - 1
            )
            self._expected = oldest


def _event(packet: Packet) -> BeltEvent:
    kind = Kind(packet.kind)
    t_us, encoder, *rest = packet.values
    event = BeltEvent(_NAMES[kind], packet.seq, int(encoder), packet.boot, device_t_us=int(t_us))
    if kind is Kind.BAG_ENTRY:
        return replace(event, tag=str(rest[0]))
    if kind is Kind.INTERLOCK:
        return replace(event, closed=bool(rest[0]))
    if kind is Kind.ESTOP:
        return replace(event, pressed=bool(rest[0]), latched=bool(rest[1]))
    if kind is Kind.ENCODER:
        moving, clear_line, closed, pressed, latched = (bool(value) for value in rest[:5])
        return replace(
            event,
            moving=moving,
            clear_line=clear_line,
            closed=closed,
            pressed=pressed,
            latched=latched,
            lights=Light(int(rest[5])),
        )
    return event
