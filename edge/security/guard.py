"""Puts CURVE and ZAP on sockets that other computers reach, and says when a key was taken away."""

from __future__ import annotations

import logging
from typing import Final

import zmq

from edge.security.keys import KeyStore
from edge.security.refusals import Refusals
from edge.security.zap import DOMAIN, ZapHandler

PERIOD_S: Final = 0.25


class Guard:
    """One for all sockets of a context. Call :meth:`look` often."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], store: KeyStore, refusals: Refusals, log: logging.Logger
    ) -> None:
        self.zap = ZapHandler(context, refusals, log)
        self._store = store
        self._log = log
        self._damaged: tuple[str, ...] = ()
        self._next = 0.0
        self._marks = store.marks()
        self._read()

    def arm(self, socket: zmq.Socket[bytes]) -> None:
        """Before it is bound. :class:`~edge.security.key_file.KeyFileError` when the box has no usable key."""
        server = self._store.server()
        socket.curve_server = 1
        socket.curve_publickey = server.public
        socket.curve_secretkey = server.secret
        socket.zap_domain = DOMAIN.encode()
        # Without it ZeroMQ lets everybody in when nobody answers for the domain.
        socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)

    def look(self, now_s: float) -> bool:
        """Read the keys again if a file changed; True when somebody who was admitted is not any more.

        A connection outlives its key, and only a socket that is bound anew asks again. ``now_s``: a monotonic clock.
        """
        if now_s < self._next:
            return False
        self._next = now_s + PERIOD_S
        marks = self._store.marks()
        if marks == self._marks:
            return False
        server_changed = marks[0] != self._marks[0]
        self._marks = marks
        before = self.zap.known.allowed
        self._read()
        after = self.zap.known.allowed
        revoked = sorted({name for key, name in before.items() if key not in after})
        if revoked:
            self._log.warning("no longer allowed: %s; every connection is made anew", ", ".join(revoked))
        return server_changed or bool(revoked)

    def _read(self) -> None:
        self.zap.known = self._store.admitted()
        if self.zap.known.damaged != self._damaged:
            self._damaged = self.zap.known.damaged
            for line in self._damaged:
                self._log.error("%s. Until then it admits nobody", line)

    def close(self) -> None:
        """Close the ZAP socket; sockets that rely on it admit nobody from then on."""
        self.zap.close()
