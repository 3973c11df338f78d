"""How a service reads the bridge's events without missing one: subscription, plus what came before or got lost.

The bridge numbers its events without a gap. A reader that starts, or sees a gap, asks for the events since the last
one it has; it also asks once in a while, because a lost *last* event leaves no gap.
"""

from __future__ import annotations

import logging
import time

import zmq

from edge import wire
from edge.bus import Bus
from edge.messages import CommandReply, DeviceCommand, DeviceEvent, DeviceEventKind

#: Ask the bridge this often for events that got lost on the way, s.
ASK_EVERY_S = 1.0
#: A question that was not answered for so long is asked again (the bridge was restarted), s.
ANSWER_WITHIN_S = 3.0
#: With no bridge there, look again after this long, s.
RETRY_S = 0.1


class EventReader:
    """New events of the bridge, each once and in order, encoder reports as they come."""

    def __init__(self, bus: Bus, *, encoder: bool = False) -> None:
        self._bus = bus
        self._encoder = encoder
        self._log = logging.getLogger(bus.stamp.source)
        self.subscription = bus.subscriber("events", "event")
        # Questions to a bridge that is away are not kept: they would fill the queue and stop the reader.
        self.commands = bus.socket("commands", zmq.DEALER, bind=False, immediate=True)
        self.last_seq = 0
        self.devices: dict[str, str] = {}
        #: Monotonic time of the bridge's newest answer, s; None before the first.
        self.answered_s: float | None = None
        self._asked_at = -ANSWER_WITHIN_S
        self._waiting = False

    def read(self) -> list[DeviceEvent]:
        """Everything new; never waits."""
        events: list[DeviceEvent] = []
        while self.commands.poll(0):
            self._waiting = False
            try:
                _, reply, _ = self._bus.receive(self.commands, CommandReply)
            except wire.WireError as error:
                self._log.error("unreadable answer of the bridge: %s", error)
                continue
            self.devices = reply.devices
            self.answered_s = time.monotonic()
            events += [event for event in reply.events if self._is_next(event, known_gap=True)]
        gap = False
        while self.subscription.poll(0):
            try:
                _, event, _ = self._bus.receive(self.subscription, DeviceEvent)
            except wire.WireError as error:
                self._log.error("unreadable event of the bridge: %s", error)
                continue
            if event.kind is DeviceEventKind.ENCODER:
                events += [event] if self._encoder else []
            elif self._is_next(event, known_gap=False):
                events.append(event)
            else:
                gap = gap or event.seq > self.last_seq
        self._ask(gap=gap)
        return events

    def _is_next(self, event: DeviceEvent, *, known_gap: bool) -> bool:
        # The bridge itself may have forgotten events (controller restarted), so its answers may jump.
        if event.seq <= self.last_seq or (not known_gap and event.seq != self.last_seq + 1):
            return False
        self.last_seq = event.seq
        return True

    def _ask(self, *, gap: bool) -> None:
        now = time.monotonic()
        wait_s = ANSWER_WITHIN_S if self._waiting else 0.0 if gap else ASK_EVERY_S
        if now - self._asked_at < wait_s:
            return
        self._asked_at = now
        question = self._bus.stamp(DeviceCommand(action="events_since", after_seq=self.last_seq))
        try:
            self.commands.send_multipart(wire.encode("command", question), zmq.NOBLOCK)
            self._waiting = True
        except zmq.Again:
            # Nobody is there to answer; the next read asks again.
            self._waiting = False
            self._asked_at = now - ASK_EVERY_S + RETRY_S
