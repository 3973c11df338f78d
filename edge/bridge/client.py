"""How others talk to the bridge: its events without missing one, and commands with their answers.

The bridge numbers its events without a gap. A reader that starts, or sees a gap, asks for the events since the last
one it has; it also asks once in a while, because a lost *last* event leaves no gap.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable

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


class NoAnswerError(RuntimeError):
    """The bridge is not there, or does not answer; the text says what to do."""


class CommandClient:
    """Sends commands to the bridge and matches the answers, which come in the order in which commands end."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._log = logging.getLogger(bus.stamp.source)
        # Nothing is kept for a bridge that is away: a command that is carried out much later does harm.
        self._socket = bus.socket("commands", zmq.DEALER, bind=False, immediate=True)

    def send(self, command: DeviceCommand) -> str:
        """Send without waiting; returns the id of its answers, empty when no bridge is there."""
        wanted = self._bus.stamp(command.model_copy(update={"command_id": uuid.uuid4().hex[:16]}))
        try:
            self._socket.send_multipart(wire.encode("command", wanted), zmq.NOBLOCK)
        except zmq.Again:
            return ""
        return wanted.command_id

    def answers(self, wait_s: float = 0.0) -> list[CommandReply]:
        """Answers that have come; waits at most ``wait_s`` for the first."""
        found = []
        wait_ms = int(wait_s * 1e3)
        while self._socket.poll(wait_ms):
            wait_ms = 0
            try:
                found.append(self._bus.receive(self._socket, CommandReply)[1])
            except wire.WireError as error:
                self._log.error("unreadable answer of the bridge: %s", error)
        return found

    def ask(
        self,
        command: DeviceCommand,
        timeout_s: float = 10.0,
        meanwhile: Callable[[], object] = lambda: None,
    ) -> CommandReply:
        """Send and wait until it is done or refused, calling ``meanwhile`` ten times a second.

        :class:`NoAnswerError` after ``timeout_s``.
        """
        deadline = time.monotonic() + timeout_s
        sent = ""
        while time.monotonic() < deadline:
            sent = sent or self.send(command)
            for answer in self.answers(RETRY_S):
                if answer.command_id == sent and answer.phase == "done":
                    return answer
            meanwhile()
        what = f"did not answer {command.action} within {timeout_s:g} s" if sent else "is not there"
        raise NoAnswerError(f"the bridge {what} (socket in {self._bus.run_dir}); is the lane running?")
