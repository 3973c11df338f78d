"""Gateway service: the feed in; for other computers, the feed and answers to their requests out.

Only reads the lane: when it hangs or dies, no verdict waits, and clients find what they missed in the journal.
"""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

import zmq

from edge import topics, wire
from edge.bus import Bus, Stamp
from edge.config import Config
from edge.dicos.push import pusher
from edge.gateway.answers import Answerer
from edge.gateway.memory import Memory
from edge.gateway.pictures import Pictures
from edge.gateway.publisher import Publisher
from edge.gateway.requests import Requests
from edge.loop import Loop, start
from edge.messages import Hello, LaneState, Verdict
from edge.metrics.server import MetricsServer
from edge.security.guard import Guard
from edge.security.keys import FOLDER, KeyStore
from edge.security.refusals import Refusals

NAME = "gateway"
#: Messages of the feed taken in one go, so that clients are looked at in between.
BATCH = 200


class Service:
    """Wires the lane's feed to the sockets that other computers reach."""

    def __init__(self, config: Config, bus: Bus) -> None:
        self.bus = bus
        self.loop = Loop(bus, "messages")
        self.guard: Guard | None = None
        self.publisher: Publisher | None = None
        self.requests: Requests | None = None
        self.pusher = pusher(config)
        wanted = config.metrics
        self.metrics = MetricsServer(config.run_dir, wanted.port, self.loop.log) if wanted.enabled else None
        settings = config.gateway
        if not settings.enabled:
            self.loop.detail = "disabled by gateway.enabled"
            return
        if not settings.addresses:
            self.loop.detail = "nothing to offer: no address in [gateway]"
            return
        self.memory = Memory()
        refusals = Refusals(self.loop.count, self.loop.log)
        if settings.curve:
            # Before every socket that it guards.
            self.guard = Guard(bus.context, KeyStore(config.state_dir / FOLDER), refusals, self.loop.log)
            self.loop.on(self.guard.zap.socket, self.guard.zap.answer)
        security = (self.guard, refusals)
        self.publisher = Publisher(self.loop, settings.feed, security)
        if settings.requests:
            stamp = Stamp(NAME)
            stamp.boot_id = bus.stamp.boot_id
            where = (settings.requests, settings.requests_per_s)
            self.requests = Requests(self.loop, where, security, Answerer(config, stamp), self.memory.known)
        self.pictures = Pictures(self.loop, config, security, self.publisher)
        self.feed = bus.subscriber("feed")
        self.loop.on(self.feed, self._on_feed)
        self.loop.every_tick(self._on_tick)

    def run(self) -> None:
        """Serve until stopped."""
        try:
            with self.pusher or nullcontext(), self.metrics or nullcontext():
                self.loop.run()
        finally:
            if self.requests is not None:
                self.requests.close()
            if self.publisher is not None:
                self.pictures.close()
                if self.publisher.listener is not None:
                    self.publisher.listener.close()
            if self.guard is not None:
                self.guard.close()

    def _on_feed(self) -> None:
        assert self.publisher is not None
        for _ in range(BATCH):
            try:
                frames = self.feed.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = self.memory.heard(frames)
            except wire.WireError as error:
                self.loop.count("unreadable")
                self.loop.log.error("unreadable message of the feed is not passed on: %s", error)
                continue
            self.loop.worked()
            if isinstance(message, Hello):
                self.publisher.greet(message, self.memory.last_seq)
            elif isinstance(message, LaneState):
                # What subscribers here did not take is lost to them just the same.
                total = message.model_copy(update={"dropped": message.dropped + self.publisher.dropped})
                self.publisher.send(wire.encode(topics.LANE_STATE, total))
            else:
                self.publisher.send(frames)
            if isinstance(message, Verdict):
                self.pictures.verdict(message)

    def _on_tick(self) -> None:
        assert self.publisher is not None
        now_s = time.monotonic()
        listeners = [self.publisher.listener, self.requests.listener if self.requests else None]
        present = [listener for listener in [*listeners, *self.pictures.listeners] if listener is not None]
        if self.guard is not None and self.guard.look(now_s):
            for listener in present:
                listener.renew()
        self.publisher.tick(now_s, self.memory.hello, self.memory.last_seq)
        if self.requests is not None:
            self.requests.tick(now_s)
        self.pictures.tick(now_s)
        self.loop.counters["feed_dropped"] = self.publisher.dropped
        errors = [listener.error for listener in present]
        if self.pusher is not None:
            self.loop.counters["dicos_sent"] = self.pusher.sent
            errors.append(self.pusher.fault)
        self.loop.detail = "; ".join(error for error in errors if error)


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    return start(NAME, lambda config, bus: Service(config, bus).run())


if __name__ == "__main__":
    sys.exit(main())
