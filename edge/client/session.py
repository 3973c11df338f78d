"""What the blocking and the asyncio client share: sockets around a :class:`~edge.client.tracker.Tracker`."""

from __future__ import annotations

import logging
import time

import zmq

from edge import topics
from edge.client import connection
from edge.client.connection import Keys
from edge.client.items import Gap, Item, Picture
from edge.client.tracker import Tracker
from edge.messages import FeedReply, Verdict
from edge.wire import WireError

#: Messages taken before the items that they gave are handed out.
BATCH = 100

log = logging.getLogger("edge.client")


class Session:
    """Non-blocking: :meth:`pump` takes what is there, :meth:`wait_s` says how long to wait for more."""

    def __init__(self, feed: str, requests: str, keys: Keys | None, after: int | None, images: bool) -> None:
        #: Messages that could not be read so far.
        self.unreadable = 0
        #: Newest verdict handed out or named in a Gap; give it as ``after`` to go on from here. None: none yet.
        self.last_seq = after
        self._addresses = feed, requests
        self._keys = keys
        self._topics = (*connection.TOPICS, topics.BAG_IMAGE) if images else connection.TOPICS
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.sockets: list[zmq.Socket[bytes]] = []
        self.tracker = Tracker(after, bool(requests), time.monotonic())
        try:
            self._open()
        except ValueError:
            self.close()
            raise

    def _open(self) -> None:
        feed, requests = self._addresses
        self.sockets.append(connection.subscriber(self._context, feed, self._topics, self._keys))
        if requests:
            self.sockets.append(connection.requester(self._context, requests, self._keys))

    def pump(self) -> Item | None:
        """Receive and send without waiting; returns the next item if there is one."""
        tracker = self.tracker
        if not tracker.items:
            self._receive()
            tracker.tick(time.monotonic())
            if tracker.reconnect:
                self._reconnect()
            self._ask()
        if not tracker.items:
            return None
        item = tracker.items.popleft()
        if isinstance(item, Verdict):
            self.last_seq = item.seq
        elif isinstance(item, Gap):
            self.last_seq = item.last
        return item

    def wait_s(self) -> float:
        """Seconds until :meth:`pump` has something to do even if no socket can be read."""
        return self.tracker.wait_s(time.monotonic())

    def close(self) -> None:
        """Close sockets and context."""
        for socket in self.sockets:
            socket.close(0)
        self.sockets.clear()
        self._context.term()

    def _reconnect(self) -> None:
        # ZeroMQ reconnects by itself; a new socket also forgets a refused handshake and requests nobody took.
        log.warning("silence on %s: connecting anew", self._addresses[0])
        for socket in self.sockets:
            socket.close(0)
        self.sockets.clear()
        self._open()
        self.tracker.reconnect = False

    def _receive(self) -> None:
        for socket in self.sockets:
            for _ in range(BATCH):
                try:
                    frames = socket.recv_multipart(zmq.NOBLOCK)
                except zmq.Again:
                    break
                self._take(socket, frames)

    def _take(self, socket: zmq.Socket[bytes], frames: list[bytes]) -> None:
        now = time.monotonic()
        try:
            if socket is not self.sockets[0]:
                reply = connection.decode_reply(frames)
                if isinstance(reply, FeedReply):
                    self.tracker.reply(reply, now)
                return
            _, message = connection.decode(frames)
        except WireError as error:
            self.unreadable += 1
            log.error("unreadable message of %s: %s", self._addresses[socket is not self.sockets[0]], error)
            return
        if isinstance(message, Picture):
            self.tracker.items.append(message)
        else:
            self.tracker.message(message, now)

    def _ask(self) -> None:
        now = time.monotonic()
        request = self.tracker.request(now)
        if request is None:
            return
        try:
            self.sockets[1].send_multipart(connection.encode_request(request), zmq.NOBLOCK)
        except zmq.Again:
            self.tracker.unsent(now)


class SessionOwner:
    """What both clients have in common beside waiting."""

    def __init__(
        self,
        feed: str,
        requests: str = "",
        *,
        keys: Keys | None = None,
        after: int | None = None,
        images: bool = False,
    ) -> None:
        """Connect; ValueError names a bad address. A gateway that is not there yet is waited for."""
        self._session = Session(feed, requests, keys, after, images)

    @property
    def last_seq(self) -> int | None:
        """Newest verdict handed out; give it as ``after`` to go on from here. None: none yet."""
        return self._session.last_seq

    @property
    def unreadable(self) -> int:
        """Messages that could not be read so far."""
        return self._session.unreadable

    def close(self) -> None:
        """Close the sockets."""
        self._session.close()

    def _wait_ms(self, until: float | None) -> int:
        """How long to poll; 0 when ``until`` has passed."""
        wait_s = self._session.wait_s()
        if until is not None:
            wait_s = min(wait_s, until - time.monotonic())
        return max(1, round(wait_s * 1e3)) if wait_s > 0 else 0
