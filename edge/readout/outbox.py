"""Slabs on their way to retrieval: on disk first, then in the queue, never in memory without bound.

What waits is only remembered by its place in the spool file, so retrieval may be away for minutes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from edge import wire
from edge.messages import Slab
from edge.spool import Spool, SpoolWriter

Frames = Sequence["bytes | memoryview"]


@dataclass(frozen=True)
class _Waiting:
    """One slab: a place in the bag's spool file, or the frames themselves when the disk did not take them.

    ``scan_id``: the slab is sent as part of this scan; empty: as it is.
    """

    bag_id: str
    last: bool
    offset: int = 0
    frames: Frames | None = None
    scan_id: str = ""


class Outbox:
    """``send`` offers frames to the socket and says whether it took them; ``sent`` hears of each finished bag."""

    def __init__(self, store: Spool, send: Callable[[Frames], bool], sent: Callable[[str], None]) -> None:
        self._store = store
        self._send = send
        self._sent = sent
        self._log = logging.getLogger("readout")
        self._writers: dict[str, SpoolWriter] = {}
        self._waiting: deque[_Waiting] = deque()
        # fsync may take longer than the detector's buffer lasts.
        self._syncing = ThreadPoolExecutor(1, thread_name_prefix="spool-sync")

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def bags(self) -> frozenset[str]:
        """Bags whose spool files are still needed here."""
        return frozenset(self._writers) | frozenset(item.bag_id for item in self._waiting)

    def put(self, bag_id: str, frames: Frames, *, last: bool) -> str:
        """Spool and queue one slab, then send what the queue takes. Returns the disk's complaint, empty when fine.

        A slab that the disk does not take is queued from memory if it is the bag's last (it carries no columns
        then); any other is dropped, and the caller has to give the bag up.
        """
        complaint = ""
        try:
            writer = self._writers.get(bag_id)
            if writer is None:
                writer = self._writers[bag_id] = self._store.writer(bag_id)
            offset, _ = writer.append(frames)
            self._waiting.append(_Waiting(bag_id, last, offset))
        except OSError as error:
            complaint = f"spool: {error.strerror or error} ({self._store.path(bag_id)})"
            self._log.error("bag %s: %s", bag_id, complaint)
            if last:
                self._waiting.append(_Waiting(bag_id, last, frames=frames))
        self.pump()
        if last and (writer := self._writers.pop(bag_id, None)) is not None:
            self._syncing.submit(writer.close).add_done_callback(self._synced)
        return complaint

    def again(self, bag_id: str, scan_id: str) -> None:
        """Queue every spooled slab of this bag, as the scan ``scan_id``: not to be taken for more of another."""
        for offset, slab in self._store.index(bag_id):
            self._waiting.append(_Waiting(bag_id, slab.last, offset, scan_id=scan_id))
        self.pump()

    def answer(self, bag_id: str, frames: Frames) -> None:
        """Queue a last slab that is not spooled."""
        self._waiting.append(_Waiting(bag_id, last=True, frames=frames))
        self.pump()

    def pump(self) -> None:
        """Send in order until the socket takes no more."""
        while self._waiting:
            item = self._waiting[0]
            frames = item.frames if item.frames is not None else self._store.record(item.bag_id, item.offset)
            if frames is None:
                self._log.error("bag %s: its spool file was damaged or removed before it was sent", item.bag_id)
            elif not self._send(_renamed(frames, item.scan_id) if item.scan_id else frames):
                return
            self._waiting.popleft()
            if item.last:
                self._sent(item.bag_id)

    def close(self) -> None:
        """Sync and close every file."""
        for writer in self._writers.values():
            writer.close()
        self._syncing.shutdown()

    def _synced(self, done: Future[None]) -> None:
        error = done.exception()
        if error is not None:
            self._log.error("spool: %s", error)


def _renamed(frames: Frames, scan_id: str) -> Frames:
    """The same slab as part of another scan; its arrays are not copied."""
    topic, slab, arrays = wire.decode(frames, Slab)
    return wire.encode(topic, slab.model_copy(update={"scan_id": scan_id}), arrays)
