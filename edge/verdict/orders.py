"""What the verdict service asks of others: the bridge to clear the line, the readout to send a bag again."""

from __future__ import annotations

import zmq

from edge import wire
from edge.bus import Bus
from edge.loop import Loop
from edge.messages import CommandReply, DeviceCommand, Recall
from edge.verdict.actions import ClearLine, Recalled


class Orders:
    """Nothing is kept for a bridge that is away: a line that is cleared late clears another bag. Recalls are kept."""

    def __init__(self, bus: Bus, loop: Loop) -> None:
        self._bus = bus
        self._loop = loop
        self._clear_line = bus.socket("commands", zmq.DEALER, bind=False, immediate=True)
        self._recalls = bus.socket("recalls", zmq.PUSH, bind=False, immediate=True)
        self._to_recall: list[Recall] = []
        loop.on(self._clear_line, self._on_clear_reply)
        loop.every_tick(self._on_tick)

    def clear(self, clear: ClearLine) -> None:
        """Ask for the clear line while this bag is at the diverter."""
        command = DeviceCommand(
            action="clear_line", bag_id=clear.bag_id, encoder_from=clear.encoder_from, encoder_to=clear.encoder_to
        )
        try:
            self._clear_line.send_multipart(wire.encode("command", self._bus.stamp(command)), zmq.NOBLOCK)
        except zmq.Again:
            self._loop.count("clear_refused")
            self._loop.log.error("bag %s: no bridge to clear the line; the bag goes to inspection", clear.bag_id)

    def recall(self, wanted: Recalled) -> None:
        """Ask for the bag again, as soon as the readout is there."""
        self._to_recall.append(Recall(bag_id=wanted.bag_id, scan_id=wanted.scan_id, encoder=wanted.encoder))

    def _on_clear_reply(self) -> None:
        try:
            _, reply, _ = self._bus.receive(self._clear_line, CommandReply)
        except wire.WireError as error:
            self._loop.log.error("unreadable answer to a clear line command: %s", error)
            return
        if not reply.ok:
            self._loop.count("clear_refused")
            self._loop.log.error("clear line refused: %s; the bag goes to inspection", reply.reason)

    def _on_tick(self) -> None:
        while self._to_recall:
            recall = self._to_recall[0]
            try:
                self._recalls.send_multipart(wire.encode("recall", self._bus.stamp(recall)), zmq.NOBLOCK)
            except zmq.Again:
                return
            self._to_recall.pop(0)
            self._loop.count("recalls")
            self._loop.log.warning("bag %s was lost on its way; asked for again as %s", recall.bag_id, recall.scan_id)
