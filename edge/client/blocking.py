"""The blocking feed client."""

from __future__ import annotations

import time
import uuid
from types import TracebackType

import zmq

from edge.client import connection
from edge.client.connection import Keys
from edge.client.items import Item, Picture
from edge.client.session import SessionOwner
from edge.messages import FeedReply, FeedRequest
from edge.wire import WireError


class FeedClient(SessionOwner):
    """Iterate over it: messages of the feed, pictures, and what the client itself has to say. Not for two threads.

    ``feed`` and ``requests`` are the gateway's endpoints; without ``requests`` gaps are named and not filled.
    ``after`` is the sequence of the newest verdict that you have; None begins with the next one.
    """

    def __enter__(self) -> FeedClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> FeedClient:
        return self

    def __next__(self) -> Item:
        item = self.next()
        assert item is not None
        return item

    def next(self, timeout_s: float | None = None) -> Item | None:
        """The next item; None when there is none within ``timeout_s`` (None: wait for ever)."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            item = self._session.pump()
            if item is not None:
                return item
            wait_ms = self._wait_ms(until)
            if wait_ms == 0:
                return None
            poller = zmq.Poller()
            for socket in self._session.sockets:
                poller.register(socket, zmq.POLLIN)
            poller.poll(wait_ms)


def ask(
    requests: str, request: FeedRequest, *, keys: Keys | None = None, timeout_s: float = 10.0
) -> FeedReply | Picture:
    """Send one request (an image, the calibration's state) and wait for its answer; TimeoutError without one."""
    named = request.model_copy(update={"request_id": uuid.uuid4().hex})
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    until = time.monotonic() + timeout_s
    try:
        with connection.requester(context, requests, keys) as socket:
            socket.sndtimeo = max(1, round(timeout_s * 1e3))
            socket.send_multipart(connection.encode_request(named))
            while socket.poll(max(0, round((until - time.monotonic()) * 1e3))):
                answer = connection.decode_reply(socket.recv_multipart())
                name = answer.request_id if isinstance(answer, FeedReply) else answer.header.request_id
                if name == named.request_id:
                    return answer
    except (zmq.Again, WireError) as error:
        raise TimeoutError(f"{requests}: no readable answer to {request.ask} ({error})") from error
    finally:
        context.term()
    raise TimeoutError(f"{requests}: no answer to {request.ask} within {timeout_s:g} s; is the gateway there?")
