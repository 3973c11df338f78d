"""The feed: one XPUB socket on the bus. It never waits for a subscriber; other computers read it from the gateway."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

import zmq

from edge import topics, wire
from edge.bus import Bus
from edge.fanout import HOLD_NS, Fanout
from edge.messages import Message, Verdict
from edge.verdict.actions import Now


class Feed:
    """Publishes with a sequence per topic. Verdicts bring their own sequence, from the journal."""

    def __init__(self, bus: Bus, now: Now) -> None:
        """Bind the bus endpoint ``feed``."""
        self.socket = bus.socket("feed", zmq.XPUB, bind=True)
        self.sent = 0
        self._fanout = Fanout(self.socket, logging.getLogger(bus.stamp.source))
        self._boot_id = bus.stamp.boot_id
        self._source = bus.stamp.source
        self._counts: dict[str, int] = {}
        self._hold_until = now.mono + HOLD_NS
        self._held: deque[tuple[list[bytes | memoryview], Callable[[], None] | None]] = deque()

    @property
    def dropped(self) -> int:
        """How often a message found a full queue."""
        return self._fanout.dropped

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
            self._fanout.send(frames)
            self.sent += 1
            if done is not None:
                done()

    def greeted(self) -> bool:
        """Read subscriptions; True when somebody new wants to hear ``hello``."""
        return any(topics.HELLO.encode().startswith(prefix) for prefix in self._fanout.subscriptions())
