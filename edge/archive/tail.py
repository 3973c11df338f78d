"""Follows a bag's spool file while the readout still appends to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from edge import wire
from edge.messages import Arrays, Slab
from edge.spool import MAGIC, unpack


class SpoolTail:
    """Hands out every whole record of a spool file once. A torn or missing tail is looked at again later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new(self) -> Iterator[tuple[Slab, Arrays]]:
        """Slabs that came since the last call. Raises OSError when the file cannot be read."""
        try:
            grown = self.path.stat().st_size > max(self._offset, len(MAGIC))
        except FileNotFoundError:
            return
        if not grown:
            return
        with self.path.open("rb") as file:
            if self._offset == 0:
                if file.read(len(MAGIC)) != MAGIC:
                    return
                self._offset = file.tell()
            file.seek(self._offset)
            while (frames := unpack(file)) is not None:
                self._offset = file.tell()
                try:
                    _, slab, arrays = wire.decode(frames, Slab)
                except wire.WireError:
                    continue
                yield slab, arrays
