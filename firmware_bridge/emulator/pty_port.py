"""A pseudo-terminal that looks like a serial device at a path of our choice."""

from __future__ import annotations

import os
import tty
from pathlib import Path
from typing import Final

#: Bytes kept for a reader that is slow or absent; what is repeated anyway is dropped beyond that.
MAX_BACKLOG: Final = 4 << 10


class PtyPort:
    """The device's end of a serial line; ``link`` becomes a symbolic link to the other end.

    The slave stays open here, so that the line survives when a driver closes its end.
    """

    def __init__(self, link: Path) -> None:
        self.link = link
        self.fd, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self.fd, False)
        self._backlog = b""
        link.parent.mkdir(parents=True, exist_ok=True)
        part = link.with_name(link.name + ".part")
        part.unlink(missing_ok=True)
        part.symlink_to(os.ttyname(self._slave))
        part.replace(link)

    @property
    def fds(self) -> tuple[int, ...]:
        """What to wait on."""
        return (self.fd,)

    def read(self) -> bytes:
        """What a driver has sent, b'' when nothing."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> None:
        """Send as much as the line takes and keep the rest; never blocks."""
        if len(self._backlog) + len(data) <= MAX_BACKLOG:
            self._backlog += data
        if not self._backlog:
            return
        try:
            self._backlog = self._backlog[os.write(self.fd, self._backlog) :]
        except BlockingIOError:
            return

    def close(self) -> None:
        """Close both ends and remove the link."""
        os.close(self.fd)
        os.close(self._slave)
        if self.link.is_symlink():
            self.link.unlink()
