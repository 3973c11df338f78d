"""A TCP connection that can be cut: nothing passes any more (``stall``), or it breaks and cannot be made (``drop``)."""

from __future__ import annotations

import asyncio
import threading
from typing import Literal

Kind = Literal["stall", "drop"]
_PIECE: int = 1 << 16


class Proxy:
    """Passes on what comes for :attr:`port` to another port of this machine, in a thread of its own."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self._refusing = False
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()

    def cut(self, kind: Kind) -> None:
        """From now on nothing passes."""
        self._loop.call_soon_threadsafe(self._cut, kind)

    def heal(self) -> None:
        """Everything passes again, also what a stalled connection still holds."""
        self._loop.call_soon_threadsafe(self._heal)

    def close(self) -> None:
        """Close every connection and end the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _cut(self, kind: Kind) -> None:
        if kind == "stall":
            self._open.clear()
            return
        self._refusing = True
        for writer in self._writers:
            writer.transport.abort()

    def _heal(self) -> None:
        self._refusing = False
        self._open.set()

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            await self._open.wait()
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except (OSError, asyncio.CancelledError):
            writer.transport.abort()
            return
        ends = {writer, back}
        self._writers |= ends
        try:
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            await self._open.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError
