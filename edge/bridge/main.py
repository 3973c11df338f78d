"""Bridge service: owns the belt controller, PUBs its events, answers commands."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import zmq

from edge import wire
from edge.bridge.engine import BridgeEngine
from edge.bridge.link import BeltLink
from edge.bridge.store import StateStore
from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop, start
from edge.messages import CommandReply, DeviceCommand, DeviceEvent
from firmware_bridge.belt import BeltController, BeltError, BeltRefused

NAME = "bridge"
TOPIC = "event"
STATE_FILE = "bridge.json"


class Service:
    """Wires device, engine and sockets."""

    def __init__(self, config: Config, bus: Bus) -> None:
        self.bus = bus
        self.loop = Loop(bus, "events")
        store = StateStore(config.state_dir / STATE_FILE)
        self.engine = BridgeEngine(store, bus.stamp)
        port = config.device_path(config.belt.port)
        self.link = BeltLink(lambda: BeltController(port))
        self._fd = -1
        self._lost_said = False
        self.events = bus.socket("events", zmq.PUB, bind=True)
        self.commands = bus.socket("commands", zmq.ROUTER, bind=True)
        self.loop.on(self.commands, self._on_command)
        self.loop.every_tick(self._on_tick)

    def run(self) -> None:
        """Run until stopped; the newest encoder value is kept for the next start."""
        try:
            # Whoever hears that the bridge is ready may start the belt.
            self._on_tick()
            self.loop.run()
        finally:
            self.engine.save()

    def _publish(self, events: Sequence[DeviceEvent]) -> None:
        for event in events:
            self.events.send_multipart(wire.encode(TOPIC, event))
            self.loop.worked()

    def _on_tick(self) -> None:
        now = time.monotonic()
        if self.link.connect(now):
            self._found()
        elif self.link.belt is None and not self._lost_said:
            self._say_lost(self.link.reason)
        try:
            self.link.keep_alive(now)
        except (OSError, BeltError) as error:
            self._lost(error)
        self._on_belt()
        self.loop.detail = "" if self.link.belt is not None else f"belt controller: {self.link.reason}"

    def _found(self) -> None:
        belt = self.link.belt
        assert belt is not None
        self._fd = belt.fileno()
        self._lost_said = False
        self.loop.on(self._fd, self._on_belt)
        self.loop.log.info("belt controller found")
        self._publish([self.engine.on_link(found=True, t_ns=time.time_ns())])

    def _lost(self, error: Exception) -> None:
        if self._fd >= 0:
            self.loop.off(self._fd)
            self._fd = -1
        self.link.drop(str(error), time.monotonic())
        self._say_lost(str(error))

    def _say_lost(self, reason: str) -> None:
        self._lost_said = True
        self.loop.count("device_lost")
        self.loop.log.error("belt controller lost: %s; trying again", reason)
        self._publish([self.engine.on_link(found=False, t_ns=time.time_ns(), detail=reason)])

    def _on_belt(self) -> None:
        try:
            reports = self.link.poll()
        except (OSError, BeltError) as error:
            self._lost(error)
            return
        for report in reports:
            events = self.engine.on_belt(report, time.time_ns())
            self._publish(events)
            for event in events:
                self.loop.count(event.kind.value)
                if event.bag_id or event.detail:
                    self.loop.log.info("%s %s at %d %s", event.kind.value, event.bag_id, event.encoder, event.detail)
        self.loop.counters["repeated"] = self.engine.repeated

    def _on_command(self) -> None:
        peer, *frames = self.commands.recv_multipart()
        try:
            _, command, _ = wire.decode(frames, DeviceCommand)
        except wire.WireError as error:
            reply = CommandReply(ok=False, reason=f"unreadable command: {error}")
        else:
            reply = self._answer(command)
        # A peer that has gone is no error: ROUTER drops what it cannot deliver.
        self.commands.send_multipart([peer, *wire.encode("reply", self.bus.stamp(reply))])

    def _answer(self, command: DeviceCommand) -> CommandReply:
        belt = self.link.belt
        devices = {"belt": "lost" if belt is None else "present", **self.engine.status()}
        if command.action == "events_since":
            return CommandReply(ok=True, events=self.engine.events_since(command.after_seq), devices=devices)
        if command.action == "status":
            return CommandReply(ok=True, devices=devices)
        refused = ""
        if belt is None:
            refused = f"{command.action}: belt controller is not there ({self.link.reason})"
        elif command.action == "clear_line":
            refused = self.engine.refuse_clear(command.bag_id, command.encoder_from, command.encoder_to)
        if belt is not None and not refused:
            try:
                if command.action == "belt_start":
                    belt.start_belt()
                elif command.action == "belt_stop":
                    belt.stop_belt()
                else:
                    belt.clear_line(command.encoder_from, command.encoder_to)
            except BeltRefused as error:
                refused = str(error)
            except (OSError, BeltError) as error:
                self._lost(error)
                refused = f"{command.action}: belt controller was lost ({error})"
        if refused:
            self.loop.count("refused")
            self.loop.log.warning("%s", refused)
        return CommandReply(ok=not refused, reason=refused, devices=devices)


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    return start(NAME, lambda config, bus: Service(config, bus).run())


if __name__ == "__main__":
    sys.exit(main())
