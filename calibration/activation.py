"""Which of several files in a folder is in use, and which was before: a pointer and a log of activations."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

#: The pointer that says what the lane works with.
ACTIVE = "active"


@dataclass(frozen=True)
class Pointer:
    """The file ``<folder>/<name>`` holds one id; every change of it is a line of the log: time in ns, id."""

    folder: Path
    name: str = ACTIVE

    @property
    def path(self) -> Path:
        """The pointer's file."""
        return self.folder / self.name

    @property
    def _log(self) -> Path:
        return self.folder / ("activations.log" if self.name == ACTIVE else f"{self.name}.log")

    def set(self, id_: str) -> None:
        """Point at ``id_``, atomically, and log it first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="ascii") as log:
            log.write(f"{time.time_ns()} {id_}\n")
            log.flush()
            os.fsync(log.fileno())
        write_text(self.path, id_)

    def get(self) -> str:
        """The id pointed at, unchecked; empty when nothing ever was."""
        return self.path.read_text(encoding="ascii", errors="replace").strip() if self.path.is_file() else ""

    def history(self) -> list[tuple[int, str]]:
        """Every activation, the oldest first: (time in ns since 1970, id). A torn last line is left out."""
        if not self._log.is_file():
            return []
        lines = (line.split() for line in self._log.read_text(encoding="ascii", errors="replace").splitlines())
        return [(int(line[0]), line[1]) for line in lines if len(line) == 2 and line[0].isdigit()]

    def previous(self) -> str:
        """Id that was active before the present one; empty when there was none."""
        now = self.get()
        return next((id_ for _, id_ in reversed(self.history()) if id_ != now), "")


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (ASCII): the old content or the new one, whenever the power goes."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="ascii")
    settle(part, path)


def settle(part: Path, path: Path) -> None:
    """Give ``part`` its name once it is on the disk."""
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)
