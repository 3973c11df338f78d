"""A file whose space was taken while there was some: it can be overwritten when the disk is full.

That holds for file systems that overwrite in place (ext4, xfs, tmpfs), not for those that copy on write (btrfs, zfs)
and not for a disk that has become read-only. A record in it is ``u32 length, u32 CRC-32`` and so many bytes
(little-endian); zeros, or anything damaged, end the list.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from pathlib import Path
from typing import Final

_HEAD: Final = struct.Struct("<II")
#: What ends a list of records.
END: Final = bytes(_HEAD.size)


def pack(body: bytes) -> bytes:
    """One record."""
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def unpack(content: bytes) -> tuple[list[bytes], int]:
    """The whole records at the beginning, and where they end."""
    found, end = [], 0
    while end + _HEAD.size <= len(content):
        length, crc = _HEAD.unpack_from(content, end)
        body = content[end + _HEAD.size : end + _HEAD.size + length]
        if not length or len(body) < length or zlib.crc32(body) != crc:
            break
        found.append(body)
        end += _HEAD.size + length
    return found, end


class Reserve:
    """The file ``path``, ``size`` bytes long. Nothing here raises: a disk that refuses is named in ``log``."""

    def __init__(self, path: Path, size: int, log: logging.Logger) -> None:
        self.path = path
        self.size = size
        self._log = log

    def take(self) -> None:
        """Take the space that is missing; a disk that has none now is asked again at the next start."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                if file.tell() < self.size:
                    file.write(bytes(self.size - file.tell()))
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            self._log.warning("%s: no space is set aside for a full disk (%s)", self.path, error)

    def read(self) -> bytes:
        """All of it; empty when it cannot be read."""
        try:
            return self.path.read_bytes()
        except OSError:
            return b""

    def write(self, offset: int, content: bytes) -> bool:
        """Write and sync; False when there is no room, or the disk refuses."""
        if offset + len(content) > self.size:
            self._log.error("%s: %d bytes are not enough", self.path, self.size)
            return False
        try:
            with self.path.open("r+b", buffering=0) as file:
                file.seek(offset)
                written = file.write(content)
                os.fsync(file.fileno())
        except OSError as error:
            self._log.error("%s: cannot be written (%s)", self.path, error)
            return False
        return written == len(content)
