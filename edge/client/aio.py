"""The same client for asyncio."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

import zmq
import zmq.asyncio

from edge.client.blocking import ask
from edge.client.connection import Keys
from edge.client.items import Item, Picture
from edge.client.session import SessionOwner
from edge.messages import FeedReply, FeedRequest


class AsyncFeedClient(SessionOwner):
    """As :class:`edge.client.FeedClient`, for ``async for`` in one task."""

    async def __aenter__(self) -> AsyncFeedClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> AsyncFeedClient:
        return self

    async def __anext__(self) -> Item:
        item = await self.next()
        assert item is not None
        return item

    async def next(self, timeout_s: float | None = None) -> Item | None:
        """The next item; None when there is none within ``timeout_s`` (None: wait for ever)."""
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            item = self._session.pump()
            if item is not None:
                return item
            wait_ms = self._wait_ms(until)
            if wait_ms == 0:
                return None
            poller = zmq.asyncio.Poller()
            for socket in self._session.sockets:
                poller.register(socket, zmq.POLLIN)
            await poller.poll(wait_ms)


async def ask_async(
    requests: str, request: FeedRequest, *, keys: Keys | None = None, timeout_s: float = 10.0
) -> FeedReply | Picture:
    """As :func:`edge.client.ask`, without blocking the loop."""
    return await asyncio.to_thread(ask, requests, request, keys=keys, timeout_s=timeout_s)
