"""The feed: one XPUB socket on the bus, and on TCP if configured. It never waits for a subscriber."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import zmq

from edge import wire
from edge.bus import Bus
from edge.messages import Message, Verdict
from edge.verdict.actions import Now

M = TypeVar("M", bound=Message)

HELLO = "hello"
LANE_STATE = "lane.state"
BAG_START = "bag.start"
BAG_VERDICT = "bag.verdict"
BAG_END = "bag.end"
#: After binding, messages wait this long: subscribers of a killed predecessor need a moment to come back.
HOLD_NS = 1_000_000_000
#: Subscriptions read per tick; a subscriber that floods us waits for the next one.
SUBSCRIPTIONS_PER_TICK = 200
#: Off-box peers send subscriptions only, and those are short.
MAX_REQUEST_BYTES = 256


class Feed:
    """Publishes with a sequence per topic. Verdicts bring their own sequence, from the journal.

    A full queue is noticed (XPUB_NODROP makes the send fail) and counted, and then the message goes to everybody else:
    with XPUB_NODROP alone, one stuck subscriber would silence the feed for all.
    """

    def __init__(self, bus: Bus, address: str, now: Now) -> None:
        """Bind the bus endpoint ``feed`` and, unless empty, the TCP ``address``; ValueError when that fails."""
        self.socket = bus.socket("feed", zmq.XPUB, bind=True)
        self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        self.socket.setsockopt(zmq.XPUB_VERBOSE, 1)
        self.dropped = 0
        self.sent = 0
        self._boot_id = bus.stamp.boot_id
        self._source = bus.stamp.source
        self._log = logging.getLogger(bus.stamp.source)
        self._counts: dict[str, int] = {}
        self._hold_until = now.mono + HOLD_NS
        self._held: deque[tuple[list[bytes | memoryview], Callable[[], None] | None]] = deque()
        if address:
            self.socket.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST_BYTES)
            try:
                self.socket.bind(address)
            except zmq.ZMQError as error:
                raise ValueError(
                    f"verdict.feed = {address!r}: cannot listen there ({error}); free it or change it"
                ) from error

    def publish(self, topic: str, message: Message, now: Now, done: Callable[[], None] | None = None) -> None:
        """Send, or hold while the feed is starting; ``done`` is called when it went out."""
        if not isinstance(message, Verdict):
            self._counts[topic] = self._counts.get(topic, 0) + 1
            header = {"seq": self._counts[topic], "boot_id": self._boot_id, "t_ns": now.wall, "source": self._source}
            message = message.model_copy(update=header)
        self._held.append((wire.encode(topic, message), done))
        self.flush(now)

    def flush(self, now: Now) -> None:
        """Send what is held, once the feed has started."""
        while self._held and now.mono >= self._hold_until:
            frames, done = self._held.popleft()
            self._send(frames)
            self.sent += 1
            if done is not None:
                done()

    def greeted(self) -> bool:
        """Read subscriptions; True when somebody new wants to hear ``hello``."""
        new = False
        for _ in range(SUBSCRIPTIONS_PER_TICK):
            try:
                request = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            new = new or (request[:1] == b"\x01" and HELLO.encode().startswith(request[1:]))
        return new

    def _send(self, frames: list[bytes | memoryview]) -> None:
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self.dropped += 1
            self._log.warning("feed: a subscriber does not read; %s was dropped for it", bytes(frames[0]).decode())
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            try:
                self.socket.send_multipart(frames, zmq.NOBLOCK)
            finally:
                self.socket.setsockopt(zmq.XPUB_NODROP, 1)
