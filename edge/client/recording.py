"""A recording of the feed: what one subscriber heard, and when. The format is documented in docs/reference/feed.md.

A magic line, then records: ``u32 length, u32 CRC-32`` (little-endian) and a msgpack body of that length. The first body
is a map that says what was recorded; each other one is a list of the time since the beginning in ns and the frames.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgpack

MAGIC = b"darklane-feed/1\n"
_HEAD = struct.Struct("<II")
#: Longer records are not read: far above the largest image.
MAX_RECORD_BYTES = 256 << 20
MAX_FRAMES = 16


class RecordingError(ValueError):
    """A file is not a usable recording; the message names it, the place, and what is wrong."""


@dataclass(frozen=True)
class Heard:
    """One message: nanoseconds since the beginning of the recording, and its frames."""

    after_ns: int
    frames: list[bytes]


class Recorder:
    """Writes a new file; what was written survives the death of this process. Use as a context manager."""

    def __init__(self, path: Path, about: dict[str, str | int]) -> None:
        """``about`` says what is recorded; FileExistsError when the file is there already."""
        self.messages = 0
        self._file = path.open("xb")
        self._file.write(MAGIC)
        self._write(about)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, after_ns: int, frames: Sequence[bytes]) -> None:
        """One message that came ``after_ns`` after the beginning."""
        self._write([after_ns, list(frames)])
        self.messages += 1

    def _write(self, body: Any) -> None:
        packed: bytes = msgpack.packb(body)
        self._file.write(_HEAD.pack(len(packed), zlib.crc32(packed)) + packed)
        self._file.flush()


class Recording:
    """Reads a file from its beginning. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """:class:`RecordingError` when it is none."""
        self.path = path
        #: The file ends in the middle of a record: whoever wrote it was stopped.
        self.torn = False
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise RecordingError(f"{path}: cannot be read ({error.strerror})") from error
        try:
            self.about = self._begin()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def messages(self) -> Iterator[Heard]:
        """Every message in the order in which it was heard; :class:`RecordingError` at the first damaged one."""
        before = 0
        while True:
            place = self._file.tell()
            body = self._record(place)
            if body is None:
                return
            heard = self._heard(body, place)
            if heard.after_ns < before:
                raise RecordingError(f"{self.path}, byte {place}: time goes back; the file is damaged")
            before = heard.after_ns
            yield heard

    def _begin(self) -> dict[str, Any]:
        if self._file.read(len(MAGIC)) != MAGIC:
            raise RecordingError(f"{self.path}: not a recording of the feed; `darklane feed record` makes them")
        about = self._record(len(MAGIC))
        if not isinstance(about, dict):
            raise RecordingError(f"{self.path}: says nothing about itself; the file is damaged or was never begun")
        return about

    def _record(self, place: int) -> Any:
        """Body of the next record; None at the end."""
        head = self._file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            self.torn = bool(head)
            return None
        length, crc = _HEAD.unpack(head)
        if length > MAX_RECORD_BYTES:
            raise RecordingError(f"{self.path}, byte {place}: a record of {length} bytes; the file is damaged")
        body = self._file.read(length)
        if len(body) < length:
            self.torn = True
            return None
        if zlib.crc32(body) != crc:
            raise RecordingError(f"{self.path}, byte {place}: checksum does not match; the file is damaged")
        try:
            return msgpack.unpackb(body, raw=False, strict_map_key=True)
        except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
            raise RecordingError(f"{self.path}, byte {place}: not msgpack ({error})") from error

    def _heard(self, body: Any, place: int) -> Heard:
        after_ns, frames = body if isinstance(body, list) and len(body) == 2 else (-1, [])
        framed = isinstance(frames, list) and 0 < len(frames) <= MAX_FRAMES
        if type(after_ns) is int and after_ns >= 0 and framed and all(isinstance(frame, bytes) for frame in frames):
            return Heard(after_ns, frames)
        raise RecordingError(f"{self.path}, byte {place}: not a message of the feed")
