"""The internal bus: ZeroMQ sockets on ipc paths, made only from the table in :mod:`edge.services`."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path
from typing import TypeVar

import zmq

from edge import wire
from edge.messages import Arrays, Message
from edge.services import endpoint

M = TypeVar("M", bound=Message)


class Stamp:
    """Fills the header fields that every message of one process shares."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.boot_id = uuid.uuid4().hex[:16]
        self._seq = 0

    def __call__(self, message: M) -> M:
        """Return ``message`` with seq, boot id, time and source set."""
        self._seq += 1
        return message.model_copy(
            update={
                "seq": self._seq,
                "boot_id": self.boot_id,
                "t_ns": time.clock_gettime_ns(time.CLOCK_REALTIME),
                "source": self.source,
            }
        )


class Bus:
    """Sockets of one service. ``run_dir`` holds one ipc path per endpoint of the table."""

    def __init__(self, run_dir: Path, source: str) -> None:
        run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.run_dir = run_dir
        self.stamp = Stamp(source)
        self.context = zmq.Context()
        #: File of this service's metrics; None: nobody wants them.
        self.metrics: Path | None = None
        self._sockets: list[zmq.Socket[bytes]] = []

    def _url(self, name: str) -> str:
        path = self.run_dir.resolve() / name
        # A Unix socket address holds 107 bytes; ZeroMQ's own error does not say so.
        if len(os.fsencode(path)) > 100:
            raise ValueError(f"run_dir {self.run_dir}: path of {path} is too long for a Unix socket; use a shorter one")
        return f"ipc://{path}"

    def socket(self, name: str, kind: int, *, bind: bool, immediate: bool = False) -> zmq.Socket[bytes]:
        """Socket of type ``kind`` bound or connected to endpoint ``name``; linger 0, the table's HWM.

        ``immediate``: queue only to a peer that is there, so that nothing stale is delivered to one that comes later.
        """
        entry, url = endpoint(name), self._url(name)
        sock = self.context.socket(kind)
        # Known before anything can fail: a socket that is not closed keeps the process from ending.
        self._sockets.append(sock)
        sock.linger = 0
        sock.immediate = immediate
        sock.set_hwm(entry.hwm)
        if bind:
            sock.bind(url)
        else:
            sock.connect(url)
        return sock

    def subscriber(self, name: str, *topics: str) -> zmq.Socket[bytes]:
        """SUB socket connected to ``name``, subscribed to each topic prefix."""
        sock = self.socket(name, zmq.SUB, bind=False)
        for topic in topics or ("",):
            sock.subscribe(topic)
        return sock

    def send(self, sock: zmq.Socket[bytes], topic: str, message: M, arrays: Arrays | None = None) -> M:
        """Stamp and send; blocks when the peer's queue is full (back-pressure). Returns what was sent."""
        stamped = self.stamp(message)
        sock.send_multipart(wire.encode(topic, stamped, arrays), copy=True)
        return stamped

    def receive(self, sock: zmq.Socket[bytes], expect: type[M]) -> tuple[str, M, Arrays]:
        """Next message of ``sock``; :class:`edge.wire.WireError` when it is not an ``expect``."""
        return wire.decode([frame.buffer for frame in sock.recv_multipart(copy=False)], expect)

    def close(self) -> None:
        """Close every socket and the context."""
        for sock in self._sockets:
            sock.close(0)
        self.context.term()
