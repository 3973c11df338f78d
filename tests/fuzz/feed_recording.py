"""Recordings of the feed: files of others. Nothing but what was written comes out of a damaged one."""

from __future__ import annotations

import struct
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

from edge.client.recording import MAGIC, Recorder, Recording, RecordingError

INSTRUMENT = ("edge.client.recording",)
_FOLDER = tempfile.TemporaryDirectory(prefix="dlf")
_PATH = Path(_FOLDER.name) / "feed.rec"


def recording(messages: list[tuple[int, list[bytes]]]) -> bytes:
    """Bytes of a good file."""
    _PATH.unlink(missing_ok=True)
    with Recorder(_PATH, {"feed": "fuzz"}) as recorder:
        for after_ns, frames in messages:
            recorder.add(after_ns, frames)
    return _PATH.read_bytes()


GOOD = [(number * 1000, [b"bag.start", b"x" * number]) for number in range(4)]
SEEDS = (recording(GOOD), recording([]), b"\1" + b"\x92\x00\x91\xc4\x01a", b"\1" + b"\x81\xa1a\x01")


def one_input(data: bytes) -> None:
    """A file; or, after a 1, the body of one record with the right checksum, which no fuzzer would find."""
    if data[:1] == b"\1":
        body = data[1:]
        about = b"\x80"
        data = MAGIC
        for part in (about, body):
            data += struct.pack("<II", len(part), zlib.crc32(part)) + part
    _PATH.write_bytes(data)
    with suppress(RecordingError):
        read()


def read() -> list[tuple[int, list[bytes]]]:
    """What the reader gives; every message has frames of bytes, and time only goes on."""
    with Recording(_PATH) as opened:
        messages = [(heard.after_ns, heard.frames) for heard in opened.messages()]
    assert messages == sorted(messages, key=lambda message: message[0])
    assert all(isinstance(frame, bytes) for _, frames in messages for frame in frames)
    return messages
