"""Raw slabs of a bag on disk, before they are sent: nothing that was measured is lost with a process.

One file per bag, ``<state_dir>/spool/<bag_id>.slabs``: a magic line, then records. A record is one message
of the bus: ``u32 body length, u32 CRC-32 of the body``, then the body ``u16 frame count, u32 length of each
frame, frames`` (little-endian). A file that ends in the middle of a record (power cut) is good up to there.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from edge import wire
from edge.messages import Arrays, Slab

MAGIC = b"darklane-spool/1\n"
SUFFIX = ".slabs"
_HEAD = struct.Struct("<II")
_COUNT = struct.Struct("<H")
_LENGTH = struct.Struct("<I")
#: Longest record that a reader accepts: above the largest slab (256 columns of 2048 rows), far below memory.
MAX_RECORD_BYTES = 128 << 20
_BAG_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")

Frames = Sequence["bytes | memoryview"]


class SpoolError(ValueError):
    """A spool file cannot be used; the message names the file and what is wrong."""


def pack(frames: Frames) -> bytes:
    """One record of the wire ``frames`` of a message."""
    body = b"".join((_COUNT.pack(len(frames)), *(_LENGTH.pack(len(frame)) for frame in frames), *frames))
    if len(body) > MAX_RECORD_BYTES:
        raise SpoolError(f"record of {len(body)} bytes is larger than {MAX_RECORD_BYTES}; use smaller slabs")
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def unpack(stream: BinaryIO) -> list[bytes] | None:
    """Frames of the next record; None at the end, and where the rest is torn or damaged."""
    head = stream.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, crc = _HEAD.unpack(head)
    if not _COUNT.size <= length <= MAX_RECORD_BYTES:
        return None
    body = stream.read(length)
    if len(body) < length or zlib.crc32(body) != crc:
        return None
    (count,) = _COUNT.unpack_from(body)
    offset = _COUNT.size + count * _LENGTH.size
    if offset > length:
        return None
    frames = []
    for index in range(count):
        (size,) = _LENGTH.unpack_from(body, _COUNT.size + index * _LENGTH.size)
        frames.append(body[offset : offset + size])
        offset += size
    return frames if offset == length else None


class SpoolWriter:
    """Appends the slabs of one bag. A torn tail of an earlier writer is cut off first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        end = _good_end(path) if path.exists() else 0
        self._file = path.open("r+b" if end else "wb")
        if end:
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._file.write(MAGIC)

    def append(self, frames: Frames) -> tuple[int, int]:
        """Write one record; it survives the death of this process from here on. Returns (offset, length)."""
        record = pack(frames)
        offset = self._file.tell()
        self._file.write(record)
        self._file.flush()
        return offset, len(record)

    def close(self) -> None:
        """Make the bag survive a power cut too, and close the file."""
        if not self._file.closed:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


class Spool:
    """The folder of all spooled bags."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, bag_id: str) -> Path:
        """File of one bag; :class:`SpoolError` when ``bag_id`` could name another folder."""
        if not _BAG_ID.fullmatch(bag_id):
            raise SpoolError(f"bag id {bag_id!r:.80} cannot name a file; letters, digits, '.', '_' and '-' only")
        return self.folder / f"{bag_id}{SUFFIX}"

    def writer(self, bag_id: str) -> SpoolWriter:
        """Writer at the end of the bag's file."""
        return SpoolWriter(self.path(bag_id))

    def bags(self) -> list[str]:
        """Bag ids that have a file, oldest first."""
        files = []
        for path in self.folder.glob(f"*{SUFFIX}"):
            try:
                files.append((path.stat().st_mtime_ns, path.name.removesuffix(SUFFIX)))
            except FileNotFoundError:
                continue
        return [bag_id for _, bag_id in sorted(files)]

    def records(self, bag_id: str) -> Iterator[list[bytes]]:
        """Wire frames of every whole record of a bag; none when the bag has no file."""
        try:
            with self.path(bag_id).open("rb") as file:
                if file.read(len(MAGIC)) != MAGIC:
                    return
                while (frames := unpack(file)) is not None:
                    yield frames
        except FileNotFoundError:
            return

    def slabs(self, bag_id: str) -> Iterator[tuple[Slab, Arrays]]:
        """Every slab of a bag with its arrays, in the order written; stops where the file is damaged."""
        for frames in self.records(bag_id):
            try:
                _, slab, arrays = wire.decode(frames, Slab)
            except wire.WireError:
                return
            yield slab, arrays

    def index(self, bag_id: str) -> Iterator[tuple[int, Slab]]:
        """Offset and header of every slab of a bag."""
        offset = len(MAGIC)
        for frames in self.records(bag_id):
            try:
                _, slab, _ = wire.decode(frames, Slab)
            except wire.WireError:
                return
            yield offset, slab
            offset += len(pack(frames))

    def record(self, bag_id: str, offset: int) -> list[bytes] | None:
        """Wire frames of the record at ``offset``; None when it is damaged or the file is gone."""
        try:
            with self.path(bag_id).open("rb") as file:
                file.seek(offset)
                return unpack(file)
        except FileNotFoundError:
            return None

    def last_slab(self, bag_id: str) -> Slab | None:
        """The last whole slab of a bag; its ``last`` tells whether the bag is complete."""
        newest = None
        for newest, _ in self.slabs(bag_id):  # noqa: B007
            pass
        return newest

    def remove(self, bag_id: str) -> None:
        """Forget a bag; called when it is archived. Removing twice is fine."""
        self.path(bag_id).unlink(missing_ok=True)

    def keep_newest(self, count: int, protect: frozenset[str] = frozenset()) -> list[str]:
        """Remove the oldest bags beyond ``count``, never those in ``protect``; returns what went."""
        surplus = [bag_id for bag_id in self.bags() if bag_id not in protect]
        removed = surplus[: max(0, len(surplus) - count)]
        for bag_id in removed:
            self.remove(bag_id)
        return removed


def _good_end(path: Path) -> int:
    """Byte offset after the last whole record, 0 when not even the magic line is there."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return 0
        end = file.tell()
        while unpack(file) is not None:
            end = file.tell()
    return end
