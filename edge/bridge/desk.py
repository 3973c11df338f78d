"""The command socket: who asks gets answered, at once or when the command is done."""

from __future__ import annotations

from collections.abc import Callable

import zmq

from edge import wire
from edge.bus import Bus
from edge.loop import Loop
from edge.messages import CommandReply, DeviceCommand

Reply = Callable[[CommandReply], None]


class Desk:
    """Hands questions to ``question`` (None: it is a command) and commands to ``order`` with a way to answer."""

    def __init__(
        self,
        bus: Bus,
        loop: Loop,
        devices: Callable[[], dict[str, str]],
        question: Callable[[DeviceCommand], CommandReply | None],
        order: Callable[[DeviceCommand, Reply], None],
    ) -> None:
        self._bus = bus
        self._loop = loop
        self._devices = devices
        self._question = question
        self._order = order
        self._router = bus.socket("commands", zmq.ROUTER, bind=True)
        loop.on(self._router, self._on_command)

    def _on_command(self) -> None:
        peer, *frames = self._router.recv_multipart()

        bag_id = ""

        def reply(answer: CommandReply) -> None:
            if not answer.ok:
                self._loop.count("refused")
                self._loop.log.warning("%s", answer.reason, extra={"bag_id": bag_id})
            answer = self._bus.stamp(answer.model_copy(update={"devices": self._devices()}))
            # A peer that has gone is no error: ROUTER drops what it cannot deliver.
            self._router.send_multipart([peer, *wire.encode("reply", answer)])

        try:
            _, command, _ = wire.decode(frames, DeviceCommand)
        except wire.WireError as error:
            reply(CommandReply(ok=False, reason=f"unreadable command: {error}"))
            return
        bag_id = command.bag_id
        answer = self._question(command)
        if answer is None:
            self._order(command, reply)
        else:
            reply(answer.model_copy(update={"command_id": command.command_id}))
