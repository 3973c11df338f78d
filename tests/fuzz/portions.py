"""Random bytes of a fuzzer read as a script: portions, small numbers, the rest."""

from __future__ import annotations


class Portions:
    """Reads ``data`` from its beginning; where it ends there are only zeros."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """True while something is left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """The next byte."""
        return self.take(1)[0] if self else 0

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer at the end."""
        part = self._data[self._at : self._at + count]
        self._at += len(part)
        return part

    def chunk(self) -> bytes:
        """As many bytes as the next byte says."""
        return self.take(self.byte())

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data))
