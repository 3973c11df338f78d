"""Verdict service: device events and assessments in; journal, feed and clear line out."""

from __future__ import annotations

import logging
import sys
import time
from importlib import metadata

import msgpack
import zmq

from edge import topics, wire
from edge.bridge.client import EventReader
from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop, start
from edge.messages import (
    Assessment,
    BagNotice,
    DeviceEventKind,
    Hello,
    Message,
    Verdict,
)
from edge.verdict.actions import Action, BagEntered, BagLeft, BagRecord, ClearLine, Now, Recalled
from edge.verdict.calibration_state import CalibrationState
from edge.verdict.engine import BagLedger
from edge.verdict.feed import Feed
from edge.verdict.journal import FILE_NAME
from edge.verdict.lane import lane_state
from edge.verdict.numbers import Numbers
from edge.verdict.orders import Orders
from edge.verdict.policy import Limits
from edge.verdict.recorder import Recorder

NAME = "verdict"
HEARTBEAT_NS = 1_000_000_000
#: Assessments taken in one go, so that deadlines are looked at in between.
BATCH = 64


def clock() -> Now:
    """Both clocks, now."""
    return Now(time.clock_gettime_ns(time.CLOCK_REALTIME), time.monotonic_ns())


class Service:
    """Wires ledger, recorder and feed to the sockets."""

    def __init__(self, config: Config, bus: Bus) -> None:
        now = clock()
        self.bus = bus
        self.lane_name = config.lane.name
        self._software = f"darklane {metadata.version('darklane')}"
        self.loop = Loop(bus, "bags")
        self.numbers = Numbers(self.loop)
        self.feed = Feed(bus, now)
        self.recorder = Recorder(config.state_dir / FILE_NAME, bus.stamp.boot_id, run_dir=config.run_dir)
        self.ledger = BagLedger(Limits.of(config), self.recorder, now)
        self.calibration = CalibrationState(config)
        self.assessments = bus.socket("assessments", zmq.PULL, bind=True)
        self.orders = Orders(bus, self.loop)
        self.events = EventReader(bus, encoder=True)
        self._next_heartbeat = 0
        self._told = ""
        self.loop.on(self.events.subscription, self._on_events)
        self.loop.on(self.events.commands, self._on_events)
        self.loop.on(self.assessments, self._on_assessments)
        self.loop.on(self.feed.socket, self._on_subscription)
        self.loop.every_tick(self._on_tick)
        self._resume(now)

    def run(self) -> None:
        """Serve until stopped; what was decided is sent."""
        try:
            self.loop.run()
        finally:
            self.feed.flush(Now(clock().wall, sys.maxsize))
            self.recorder.close()

    def _resume(self, now: Now) -> None:
        """Take up what a predecessor left: bags without a verdict, verdicts that perhaps nobody heard."""
        bags = self.recorder.open(now)
        for verdict in self.recorder.unpublished():
            self._publish(verdict, now)
        for bag in bags:
            self._announce(bag.record, now)
        if bags:
            self.loop.log.warning("%d bag(s) were in the lane when the verdict service stopped", len(bags))
        self._do(self.ledger.restore(bags, now), now)
        self._hello(now)

    def _on_events(self) -> None:
        for event in self.events.read():
            # Before the first answer the newest place of the belt may be ahead of events that are still to come.
            if event.kind is DeviceEventKind.ENCODER and self.events.answered_s is None:
                continue
            now = clock()
            self._do(self.ledger.event(event, now), now)

    def _on_assessments(self) -> None:
        for _ in range(BATCH):
            try:
                frames = self.assessments.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            now = clock()
            try:
                _, found, _ = wire.decode(frames, Assessment)
            except wire.WireError as error:
                self.loop.count("unreadable")
                bag_id = named_bag(frames)
                self.loop.log.error("unreadable assessment of bag %s: %s", bag_id or "?", error)
                self._do(self.ledger.broken_assessment(bag_id, str(error), now), now)
            else:
                self._do(self.ledger.assessment(found, now), now)

    def _on_subscription(self) -> None:
        if self.feed.greeted():
            self._hello(clock())

    def _on_tick(self) -> None:
        now = clock()
        self._on_events()
        self._do(self.ledger.tick(now), now)
        late = self.recorder.tick(now)
        if late:
            self._do(self.ledger.restore(late, now), now)
        self.calibration.tick(now)
        self.feed.flush(now)
        self.loop.queue = len(self.ledger.open)
        self.loop.counters["feed_dropped"] = self.feed.dropped
        self._heartbeat(now)

    def _heartbeat(self, now: Now) -> None:
        answered = self.events.answered_s
        silence = None if answered is None else now.mono / 1e9 - answered
        state = lane_state(self.ledger, self.recorder, self.calibration, self.feed, silence)
        self.loop.detail = state.detail
        self.numbers.tick(state, self.recorder, self.calibration, now)
        if now.mono >= self._next_heartbeat or state.state != self._told:
            self._next_heartbeat = now.mono + HEARTBEAT_NS
            self._told = state.state
            self.feed.publish(topics.LANE_STATE, state, now)

    def _hello(self, now: Now) -> None:
        message = Hello(
            lane=self.lane_name,
            software=self._software,
            last_verdict_seq=self.recorder.last_seq,
            heartbeat_s=HEARTBEAT_NS / 1e9,
        )
        self.feed.publish(topics.HELLO, message, now)

    def _do(self, actions: list[Action], now: Now) -> None:
        """Carry out what the ledger wants: the journal first, then the feed, then the clear line."""
        for action in actions:
            if isinstance(action, BagEntered):
                self.recorder.bag(action.record)
                self._announce(action.record, now)
            elif isinstance(action, BagLeft):
                self.recorder.left(action)
            elif isinstance(action, Recalled):
                self.orders.recall(action)
            else:
                verdict = self.recorder.verdict(action.verdict, now)
                if verdict is None:
                    continue
                # What the disk refused is not CLEAR any more.
                clear = action.clear if verdict.decision is action.verdict.decision else None
                self._publish(verdict, now, clear)
                self.calibration.seen(verdict)
                self._log(verdict)

    def _announce(self, record: BagRecord, now: Now) -> None:
        notice = BagNotice(
            bag_id=record.bag_id, encoder=record.encoder, bag_tag=record.bag_tag, deadline_ns=record.deadline_ns
        )
        self.feed.publish(topics.BAG_START, notice, now)

    def _publish(self, verdict: Verdict, now: Now, clear: ClearLine | None = None) -> None:
        def sent() -> None:
            self.recorder.published(verdict.seq)
            if clear is not None:
                self.orders.clear(clear)

        self.feed.publish(topics.BAG_VERDICT, verdict, now, sent)
        if verdict.final:
            end: Message = BagNotice(
                bag_id=verdict.bag_id,
                encoder=verdict.encoder_window[1],
                bag_tag=verdict.bag_tag,
                deadline_ns=verdict.deadline_ns,
                ended=True,
            )
            self.feed.publish(topics.BAG_END, end, now)

    def _log(self, verdict: Verdict) -> None:
        self.loop.worked()
        self.numbers.verdict(verdict)
        reason = f" {verdict.reason.value}: {verdict.detail}" if verdict.reason else ""
        kind = "" if verdict.final else " (supplement)"
        self.loop.log.info("bag %s %s%s%s", verdict.bag_id, verdict.decision.value, reason, kind)


def named_bag(frames: list[bytes]) -> str:
    """The bag id that an unreadable assessment carries; empty when not even that can be read."""
    try:
        header = msgpack.unpackb(frames[1], raw=False)
        bag_id = header["bag_id"]
    except Exception:
        # msgpack raises many kinds of errors on hostile bytes.
        return ""
    return bag_id if isinstance(bag_id, str) else ""


def _serve(config: Config, bus: Bus) -> None:
    try:
        service = Service(config, bus)
    except ValueError as error:
        logging.getLogger(NAME).error("%s", error)
        raise SystemExit(2) from error
    service.run()


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    return start(NAME, _serve)


if __name__ == "__main__":
    sys.exit(main())
