"""One socket that other computers reach: bound, guarded, watched, and bound anew when a key is taken away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import zmq

from edge.loop import Loop
from edge.security.guard import Guard
from edge.security.handshakes import Handshakes
from edge.security.key_file import KeyFileError
from edge.security.refusals import Refusals

RETRY_S: Final = 0.1
#: ZeroMQ frees the port of a closed socket a moment later: only what lasts longer is worth a line.
PATIENCE_S: Final = 1.0
#: A client that does not finish its handshake in this time is cut off, ms.
HANDSHAKE_MS: Final = 5_000
#: Peers that answer no heartbeat for so long are gone, ms.
HEARTBEAT_MS: Final = 5_000
HEARTBEAT_TIMEOUT_MS: Final = 15_000
#: Peers only ever send subscriptions and requests, and those are short.
MAX_MESSAGE_BYTES: Final = 4096


class Listener:
    """Its socket comes and goes: ``ready`` is called with each new one, before it is bound.

    What does not work (a port in use, no key) stands in :attr:`error` and is tried again: no lane waits for it.
    """

    def __init__(
        self,
        loop: Loop,
        kind: int,
        where: tuple[str, str],
        security: tuple[Guard | None, Refusals],
        read: Callable[[zmq.Socket[bytes]], None],
        ready: Callable[[zmq.Socket[bytes]], None],
    ) -> None:
        """``where``: key of the configuration and address; ``read``: called when there is something to receive."""
        self.key, self.address = where
        self.socket: zmq.Socket[bytes] | None = None
        self.error = ""
        self._guard, self._refusals = security
        self._loop, self._kind, self._read, self._ready = loop, kind, read, ready
        self._handshakes: Handshakes | None = None
        self._next = 0.0
        self._failing_since: float | None = None

    def tick(self, now_s: float) -> None:
        """Bind if it is not bound; ``now_s``: a monotonic clock."""
        if self.socket is None and now_s >= self._next:
            self._next = now_s + RETRY_S
            self._open(now_s)

    def renew(self) -> None:
        """Cut every connection and bind anew; those that may will come back by themselves."""
        self.close()
        self._next, self._failing_since = 0.0, None

    def close(self) -> None:
        """Close the socket; :meth:`tick` opens another."""
        if self.socket is not None:
            self._loop.off(self.socket)
            self._shut(self.socket)
            self.socket = None

    def _open(self, now_s: float) -> None:
        socket = self._loop.bus.context.socket(self._kind)
        try:
            self._set_up(socket)
            socket.bind(self.address)
        except (zmq.ZMQError, KeyFileError) as error:
            self._shut(socket)
            self._failing_since = now_s if self._failing_since is None else self._failing_since
            text = f"gateway.{self.key} = {self.address!r}: {error}"
            if now_s - self._failing_since >= PATIENCE_S and text != self.error:
                self.error = text
                self._loop.log.error("%s; trying again", text)
            return
        self.error, self._failing_since = "", None
        # A free port that was found once is kept, so that clients find it again.
        self.address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._loop.log.info("gateway.%s listens on %s", self.key, self.address)
        self.socket = socket
        self._loop.on(socket, lambda: self._read(socket))

    def _set_up(self, socket: zmq.Socket[bytes]) -> None:
        socket.linger = 0
        socket.maxmsgsize = MAX_MESSAGE_BYTES
        socket.handshake_ivl = HANDSHAKE_MS
        socket.heartbeat_ivl = HEARTBEAT_MS
        socket.heartbeat_timeout = HEARTBEAT_TIMEOUT_MS
        socket.ipv6 = "[" in self.address
        if self._guard is not None:
            self._guard.arm(socket)
        self._handshakes = Handshakes(socket, self._refusals)
        self._loop.on(self._handshakes.socket, self._handshakes.read)
        self._ready(socket)

    def _shut(self, socket: zmq.Socket[bytes]) -> None:
        if self._handshakes is not None:
            self._loop.off(self._handshakes.socket)
            self._handshakes.close()
            self._handshakes = None
        socket.close(0)
