"""The feed for other computers: what the lane says, passed on as it is, on an XPUB socket that never waits."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import zmq

from edge import topics, wire
from edge.fanout import HOLD_NS, Fanout
from edge.gateway.listener import Listener
from edge.loop import Loop
from edge.messages import Hello
from edge.security.guard import Guard
from edge.security.refusals import Refusals

#: Messages queued for each subscriber: some minutes of a busy lane; what a stuck one costs in memory is bounded by it.
QUEUE: Final = 1_000
#: Newcomers within this time share one greeting.
GREETING_S: Final = 0.25


class Publisher:
    """``hello`` is the gateway's own, because it must come whenever somebody subscribes; all else is passed on."""

    def __init__(self, loop: Loop, address: str, security: tuple[Guard | None, Refusals]) -> None:
        """``address`` empty: nothing is published."""
        self.sent = 0
        self._loop = loop
        self._fanout: Fanout | None = None
        self._dropped_before = 0
        self._hold_until_s = 0.0
        self._held: deque[list[bytes | memoryview]] = deque(maxlen=QUEUE)
        self._wanted = False
        self._next_greeting = 0.0
        self._greetings = 0
        self.listener = (
            Listener(loop, zmq.XPUB, ("feed", address), security, self._subscribed, self._ready) if address else None
        )

    @property
    def dropped(self) -> int:
        """How often a message found a full queue."""
        return self._dropped_before + (self._fanout.dropped if self._fanout else 0)

    def _ready(self, socket: zmq.Socket[bytes]) -> None:
        self._dropped_before = self.dropped
        socket.sndhwm = QUEUE
        self._fanout = Fanout(socket, self._loop.log)
        self._hold_until_s = float("inf")

    def _subscribed(self, socket: zmq.Socket[bytes]) -> None:
        assert self._fanout is not None
        if any(topics.HELLO.encode().startswith(prefix) for prefix in self._fanout.subscriptions()):
            self._wanted = True

    def send(self, frames: Sequence[bytes | memoryview]) -> None:
        """Pass on one message. While subscribers come back after a bind it is held for a moment."""
        if self.listener is None or self.listener.socket is None:
            return
        if len(self._held) == QUEUE:
            # More than the hold has room for: the oldest goes, for everybody.
            self._dropped_before += 1
        self._held.append(list(frames))
        self._flush()

    def _flush(self) -> None:
        if self._fanout is None or self._hold_until_s:
            return
        while self._held:
            self._fanout.send(self._held.popleft())
            self.sent += 1

    def tick(self, now_s: float, hello: Hello | None, last_seq: int) -> None:
        """Bind, end the hold, greet; ``now_s``: a monotonic clock."""
        if self.listener is None:
            return
        self.listener.tick(now_s)
        if self.listener.socket is None:
            return
        if self._hold_until_s == float("inf"):
            self._hold_until_s = now_s + HOLD_NS / 1e9
        if self._hold_until_s and now_s >= self._hold_until_s:
            self._hold_until_s = 0.0
        self._flush()
        if self._wanted and hello is not None and now_s >= self._next_greeting:
            self._wanted = False
            self._next_greeting = now_s + GREETING_S
            self.greet(hello, last_seq)

    def greet(self, hello: Hello, last_seq: int) -> None:
        """Say who speaks, on behalf of the lane that said ``hello``."""
        own = self._loop.bus.stamp(hello.model_copy(update={"last_verdict_seq": last_seq}))
        self._greetings += 1
        self.send(wire.encode(topics.HELLO, own.model_copy(update={"seq": self._greetings})))
