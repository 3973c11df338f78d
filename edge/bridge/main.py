"""Bridge service: owns the slow devices, PUBs their events and states, carries out commands."""

from __future__ import annotations

import os
import queue
import select
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import zmq

from edge import wire
from edge.audit.log import FOLDER
from edge.bridge.audit import Audit
from edge.bridge.board import Board
from edge.bridge.commands import Commands
from edge.bridge.desk import Desk
from edge.bridge.devices import handlers
from edge.bridge.engine import BridgeEngine
from edge.bridge.jobs import Broken, Finished, Found, Handler, Heard, Job, Lost, Note, VersionMismatch
from edge.bridge.lights import StackLight
from edge.bridge.plugs import Plugs
from edge.bridge.safety import make_safe
from edge.bridge.situation import situation
from edge.bridge.store import StateStore
from edge.bridge.worker import Worker
from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop, start
from edge.messages import CommandReply, DeviceCommand, DeviceEvent, DeviceEventKind, LaneState
from edge.verdict.policy import Limits

NAME = "bridge"
TOPIC = "event"
STATE_FILE = "bridge.json"
#: Before the bridge says that it is ready, each device gets this long for the first attempt to open it, s.
FIRST_ATTEMPT_S = 5.0
FIRST_LOOK_S = 0.05
#: At the end the belt controller gets this long to stop the belt, s.
LAST_COMMAND_S = 1.0


class Service:
    """Wires devices, engine and sockets. ``devices``: others than the configuration's, for tests."""

    def __init__(self, config: Config, bus: Bus, devices: Sequence[Handler] | None = None) -> None:
        self.bus = bus
        self.loop = Loop(bus, "events")
        store = StateStore(config.state_dir / STATE_FILE)
        self.engine = BridgeEngine(store, bus.stamp, Limits.of(config).scan_tail_counts)
        self.plugs = Plugs(config, self.loop, self._hint)
        found = handlers(config, self.plugs.port) if devices is None else list(devices)
        units = {handler.name: handler.units for handler in found}
        self.owner = {unit: name for name, names in units.items() for unit in names}
        self.axes = tuple(u for h in found if h.name not in ("belt", "tube", "detector") for u in h.units)
        self.board = Board(units, beam_was_on=self.engine.beam_on)
        self.lights = StackLight(time.monotonic())
        audit = Audit(config.state_dir / FOLDER)
        self.commands = Commands(
            self.owner,
            self.axes,
            self._submit,
            audit,
            lambda: situation(self.engine, self.board, self.commands.busy),
            self.engine.gate,
            time.monotonic,
        )
        self._notes: queue.SimpleQueue[Note] = queue.SimpleQueue()
        self._rung = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.workers = {handler.name: Worker(handler, self._post) for handler in found}
        self.events = bus.socket("events", zmq.PUB, bind=True)
        self.desk = Desk(bus, self.loop, self._devices, self._on_question, self._on_order)
        self.feed = bus.subscriber("feed", "lane.state")
        self.loop.on(self._rung, self._on_notes)
        self.loop.on(self.feed, self._on_lane_state)
        self.loop.every_tick(self._on_tick)

    def run(self) -> None:
        """Run until stopped; the newest encoder value is kept for the next start."""
        try:
            for worker in self.workers.values():
                worker.start()
            # Whoever hears that the bridge is ready may command. What the first devices say cannot wait for the last:
            # a beam that is found down while the belt runs stops it.
            deadline = time.monotonic() + FIRST_ATTEMPT_S
            while self._waits_for_devices() and time.monotonic() < deadline:
                select.select([self._rung], [], [], FIRST_LOOK_S)
                self._on_notes()
            self.loop.run()
        finally:
            self._end()

    def _waits_for_devices(self) -> bool:
        belt = self.board.state("belt")
        unsaid = belt is not None and belt.present and self.engine.belt_moving is None
        return unsaid or not all(worker.tried.is_set() for worker in self.workers.values())

    def _end(self) -> None:
        # The beam goes down with this process; the belt must not carry bags on.
        if self.engine.belt_moving:
            self._make_safe("the bridge ends", doors=False)
            deadline = time.monotonic() + LAST_COMMAND_S
            while self.commands.busy and time.monotonic() < deadline:
                select.select([self._rung], [], [], FIRST_LOOK_S)
                with suppress(VersionMismatch):
                    self._on_notes()
        for worker in self.workers.values():
            if not worker.stop():
                self.loop.log.error("%s does not answer and is left as it is", worker.name)
        self.plugs.close()
        os.close(self._rung)
        self.engine.save()

    # ---- devices --------------------------------------------------------------------------------------------

    def _post(self, note: Note) -> None:
        # In a device's thread.
        self._notes.put(note)
        os.eventfd_write(self._rung, 1)

    def _submit(self, job: Job) -> None:
        self.workers[self.owner[job.unit]].submit(job)

    def _hint(self, gone: str | None) -> None:
        if "belt" in self.workers:
            self.workers["belt"].hint(gone)

    def _on_notes(self) -> None:
        # Cleared first: what is posted meanwhile rings again.
        with suppress(BlockingIOError):
            os.eventfd_read(self._rung)
        while not self._notes.empty():
            self._take(self._notes.get())

    def _take(self, note: Note) -> None:
        now = time.time_ns()
        if isinstance(note, Broken):
            raise note.error
        if isinstance(note, Finished):
            self._heard(Heard(states=note.outcome.states), now)
            self.commands.finished(note.job, note.outcome)
        elif isinstance(note, Found):
            self.loop.log.info("%s found: %s", note.name, note.detail)
            self._belt_unknown(note.name)
            self.board.found(note.name, note.detail)
            self._publish(self.engine.on_link(found=True, t_ns=now, device=note.name))
            if note.name == "belt":
                self.lights.again()
        elif isinstance(note, Lost):
            self.loop.count("device_lost")
            self.loop.log.error("%s lost: %s; trying again", note.name, note.reason)
            self._belt_unknown(note.name)
            self.board.gone(note.name, note.reason)
            self._publish(self.engine.on_link(found=False, t_ns=now, detail=note.reason, device=note.name))
        else:
            self._heard(note.heard, now)
            self.workers[note.name].taken()

    def _belt_unknown(self, name: str) -> None:
        if name == "belt":
            self.engine.belt_moving = None

    def _heard(self, heard: Heard, t_ns: int) -> None:
        for report in heard.events:
            for event in self.engine.on_belt(report, t_ns):
                self._publish(event)
                if event.interlock_closed is False and event.kind is DeviceEventKind.INTERLOCK:
                    self._make_safe("the interlock was opened", doors=True)
                elif event.kind is DeviceEventKind.ESTOP and event.estop_pressed:
                    self._make_safe("the emergency stop was pressed", doors=True)
        for change in self.board.heard(heard.states, t_ns):
            self._publish(self.engine.on_state(change.event, remember=change.remember))
            if change.beam_lost:
                self._make_safe("the beam went down", doors=False)
            elif change.event.beam_on and (change.event.detail or change.event.interlock_closed is False):
                why = change.event.detail or "its interlock was opened"
                self._make_safe(f"the generator reports: {why}", doors=True)
        self.engine.beam_on = self.board.beam_on
        self.loop.counters["repeated"] = self.engine.repeated

    def _publish(self, event: DeviceEvent) -> None:
        self.events.send_multipart(wire.encode(TOPIC, event))
        self.loop.worked()
        self.loop.count(event.kind.value)
        if event.seq and (event.bag_id or event.detail or event.state):
            what = " ".join(filter(None, (event.bag_id, event.state, event.detail)))
            told = (event.device, event.kind.value, event.encoder, what)
            self.loop.log.info("%s %s at %d: %s", *told, extra={"bag_id": event.bag_id})

    def _make_safe(self, why: str, *, doors: bool) -> None:
        for command in make_safe(doors=doors, axes=self.axes):
            self.loop.log.warning("%s: %s", why, command.action)
            if command.action == "beam_off":
                self.board.beam_ordered(why)
            self.commands.take(self.bus.stamp(command), self._own_reply)

    def _own_reply(self, reply: CommandReply) -> None:
        if not reply.ok:
            self.loop.log.error("making it safe: %s", reply.reason)

    # ---- commands -------------------------------------------------------------------------------------------

    def _on_question(self, command: DeviceCommand) -> CommandReply | None:
        """The answer to a question; None when it is a command."""
        if command.action == "events_since":
            return CommandReply(ok=True, events=self.engine.events_since(command.after_seq))
        if command.action == "status":
            # The belt's own state comes with its events.
            states = self.board.snapshot(self.commands.busy, belt=self.engine.status())
            return CommandReply(ok=True, states=states)
        return None

    def _on_order(self, command: DeviceCommand, reply: Callable[[CommandReply], None]) -> None:
        if command.action == "beam_on":
            self.board.beam_ordered("")
        elif command.action == "beam_off":
            self.board.beam_ordered(f"beam_off of {command.source or 'unknown'}")
        self.commands.take(command, reply)

    def _devices(self) -> dict[str, str]:
        shown = {name: "lost" if name in self.board.lost else "present" for name in self.workers}
        return {**shown, **self.engine.status()}

    def _on_lane_state(self) -> None:
        try:
            _, state, _ = self.bus.receive(self.feed, LaneState)
        except wire.WireError as error:
            self.loop.log.error("unreadable state of the lane: %s", error)
            return
        self.lights.heard(state, time.monotonic())

    def _on_tick(self) -> None:
        for worker in self.workers.values():
            worker.link.beat()
        lights = self.lights.due(time.monotonic())
        if lights is not None and "belt" in self.workers:
            # Not a command of anybody: it is not written down.
            self._submit(Job(0, "belt", self.bus.stamp(DeviceCommand(action="lights", lights=lights))))
        self.loop.detail = "; ".join(f"{name}: {reason}" for name, reason in self.board.lost.items())


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    return start(NAME, lambda config, bus: Service(config, bus).run())


if __name__ == "__main__":
    sys.exit(main())
