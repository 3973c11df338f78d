"""The ROUTER socket: takes requests, refuses what is too much, and sends what one thread has answered.

A client (DEALER, or REQ with its empty delimiter) sends ``[b"request", FeedRequest]``.
"""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import zmq

from edge import topics, wire
from edge.gateway.answers import Answerer, Frames
from edge.gateway.limits import Limits
from edge.gateway.listener import Listener
from edge.gateway.memory import Known
from edge.loop import Loop
from edge.messages import FeedRequest
from edge.security.guard import Guard
from edge.security.refusals import Refusals

#: Requests taken per call, so that a flood of them does not keep the loop from publishing.
PER_CALL: Final = 50
#: Requests of all clients that wait for their answer.
WAITING: Final = 64
#: Requests of each client that wait, and answers that it has not read: what one that does not read costs in memory.
WAITING_EACH: Final = 4
#: Messages queued for each client; beside answers that are refusals, and those are short.
QUEUE: Final = 64
#: What a request costs of its client's allowance.
COST: Final = {"snapshot": 1.0, "replay": 1.0, "calibration": 1.0, "image": 10.0}


class RequestError(ValueError):
    """A message is no request; the text says why."""


@dataclass(frozen=True)
class Asked:
    """One message of a client: where the answer goes, and whose it is."""

    envelope: list[bytes]
    client: str
    body: list[bytes]


def decode(body: list[bytes]) -> FeedRequest:
    """The request in ``[topic, header]``; :class:`RequestError` on anything else."""
    if len(body) != 2 or body[0] != topics.REQUEST.encode():
        raise RequestError(f"send [{topics.REQUEST!r}, feed-request/1], two frames")
    try:
        return wire.decode(body, FeedRequest)[1]
    except wire.WireError as error:
        raise RequestError(str(error)) from error


class Requests:
    """``known``: what a snapshot is made of, asked for once per request."""

    def __init__(
        self,
        loop: Loop,
        where: tuple[str, float],
        security: tuple[Guard | None, Refusals],
        answerer: Answerer,
        known: Callable[[], Known],
    ) -> None:
        """``where``: the address, and the requests per second that each client has."""
        address, per_s = where
        self._loop, self._answerer, self._known = loop, answerer, known
        self._limits = Limits(per_s)
        self._waiting: Counter[str] = Counter()
        #: Answers that ZeroMQ still holds, because their client does not read.
        self._unsent: dict[str, list[zmq.MessageTracker]] = {}
        self._done: deque[tuple[Asked, Future[Frames]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="answers")
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.listener = Listener(loop, zmq.ROUTER, ("requests", address), security, self._read, self._ready)
        loop.on(self._wake, self._answered)

    def _ready(self, socket: zmq.Socket[bytes]) -> None:
        socket.sndhwm = QUEUE
        # A full queue and a client that has gone are seen, instead of being dropped in silence.
        socket.router_mandatory = 1

    def tick(self, now_s: float) -> None:
        """Bind if needed; ``now_s``: a monotonic clock."""
        self.listener.tick(now_s)

    def _read(self, socket: zmq.Socket[bytes]) -> None:
        for _ in range(PER_CALL):
            try:
                frames = socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            self._take(_asked(frames))

    def _take(self, asked: Asked) -> None:
        request, trouble, cost = None, "", 1.0
        try:
            request = decode(asked.body)
            cost = COST[request.ask]
        except RequestError as error:
            self._loop.count("unreadable_requests")
            trouble = str(error)
        request_id = request.request_id if request else ""
        allowed = self._limits.take(asked.client, cost, time.monotonic())
        if allowed != "yes":
            self._loop.count("requests_limited")
            if allowed == "say":
                self._refuse(asked, request_id, f"too many requests; at most {self._limits.per_s:g} per second")
        elif request is None:
            self._refuse(asked, request_id, trouble)
        elif self._load(asked.client) >= WAITING_EACH or self._waiting.total() >= WAITING:
            self._loop.count("requests_limited")
            self._refuse(asked, request_id, f"busy; have at most {WAITING_EACH} requests waiting, and ask again")
        else:
            self._loop.count("requests")
            self._waiting[asked.client] += 1
            future = self._thread.submit(self._answerer, request, self._known())
            future.add_done_callback(lambda done: self._finish(asked, done))

    def _load(self, client: str) -> int:
        """How much of this client's is in hand."""
        unsent = [tracker for tracker in self._unsent.pop(client, []) if not tracker.done]
        if unsent:
            self._unsent[client] = unsent
        return self._waiting[client] + len(unsent)

    def _finish(self, asked: Asked, future: Future[Frames]) -> None:
        """In the other thread."""
        self._done.append((asked, future))
        os.eventfd_write(self._wake, 1)

    def _answered(self) -> None:
        os.eventfd_read(self._wake)
        while self._done:
            asked, future = self._done.popleft()
            self._waiting[asked.client] -= 1
            if not self._waiting[asked.client]:
                del self._waiting[asked.client]
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                tracker = self._send(asked, future.result())
                if tracker is not None and not tracker.done:
                    self._unsent.setdefault(asked.client, []).append(tracker)
            else:
                self._loop.count("failed_requests")
                self._loop.log.error("a request of %s failed", asked.client, exc_info=error)
                self._refuse(asked, "", "the gateway could not answer; its log says why")

    def _refuse(self, asked: Asked, request_id: str, reason: str) -> None:
        self._send(asked, self._answerer.refuse(request_id, reason))

    def _send(self, asked: Asked, frames: Frames) -> zmq.MessageTracker | None:
        socket = self.listener.socket
        if socket is None:
            return None
        try:
            return socket.send_multipart([*asked.envelope, *frames], zmq.NOBLOCK, copy=False, track=True)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                raise
            # It does not read, or it has gone; if it still wants to know it asks again.
            self._loop.count("answers_dropped")
            return None

    def close(self) -> None:
        """Stop answering; what is being answered is finished, so that no file stays open."""
        self._thread.shutdown(cancel_futures=True)
        self._loop.off(self._wake)
        os.close(self._wake)
        self.listener.close()


def _asked(frames: list[zmq.Frame]) -> Asked:
    """Split off the routing id, and the empty delimiter that a REQ socket puts before its message."""
    parts = [bytes(frame.buffer) for frame in frames]
    cut = 2 if len(parts) > 1 and parts[1] == b"" else 1
    return Asked(parts[:cut], _client(frames[-1]), parts[cut:])


def _client(frame: zmq.Frame) -> str:
    """The name of its key; without CURVE, its address."""
    for name in ("User-Id", "Peer-Address"):
        try:
            found = frame.get(name)
        except zmq.ZMQError:
            continue
        if found:
            return str(found)
    return "?"
