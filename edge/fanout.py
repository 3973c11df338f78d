"""One XPUB socket that never waits for a subscriber, and counts what a full queue did not take."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import zmq

#: After binding, messages wait this long: subscribers of a killed predecessor need a moment to come back.
HOLD_NS = 1_000_000_000
#: Drops are logged so often at most.
LINE_S = 10.0
#: Subscriptions read per call; a subscriber that floods us waits for the next one.
SUBSCRIPTIONS_PER_CALL = 200


class Fanout:
    """Wraps an XPUB socket.

    A full queue is noticed (XPUB_NODROP makes the send fail) and counted, and then the message goes to everybody else:
    with XPUB_NODROP alone, one stuck subscriber would silence the feed for all.
    """

    def __init__(self, socket: zmq.Socket[bytes], log: logging.Logger) -> None:
        self.socket = socket
        self.dropped = 0
        self._log = log
        self._next_line = 0.0
        socket.setsockopt(zmq.XPUB_NODROP, 1)
        socket.setsockopt(zmq.XPUB_VERBOSE, 1)

    def send(self, frames: Sequence[bytes | memoryview]) -> None:
        """Send to every subscriber that has room; a full queue is counted and logged."""
        try:
            self.socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self.dropped += 1
            self._tell(bytes(frames[0]).decode())
            self.socket.setsockopt(zmq.XPUB_NODROP, 0)
            try:
                self.socket.send_multipart(frames, zmq.NOBLOCK)
            finally:
                self.socket.setsockopt(zmq.XPUB_NODROP, 1)

    def _tell(self, topic: str) -> None:
        """A stuck subscriber stays stuck: one line now and then says as much as one per message."""
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + LINE_S
            self._log.warning(
                "feed: a subscriber does not read; %s was dropped for it (%d drops so far)", topic, self.dropped
            )

    def subscriptions(self) -> list[bytes]:
        """Topic prefixes that somebody subscribed to since the last call, a bounded number of them."""
        found = []
        for _ in range(SUBSCRIPTIONS_PER_CALL):
            try:
                request = self.socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                break
            if request[:1] == b"\x01":
                found.append(request[1:])
        return found
