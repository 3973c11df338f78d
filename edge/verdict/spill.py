"""Where rows go that the journal's disk refuses.

A file whose space is reserved lies beside the journal, and another in the run directory if that is on another file
system (a disk that became read-only refuses everything). What cannot be journaled is written there, synced, before it
is published: so a verdict that was published is found again even when the process dies before the disk recovers.
A record is the JSON of ``[number, kind, values]``; records of both files together are in the order of their numbers.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from edge import reserve
from edge.reserve import Reserve
from edge.verdict.waiting import Row

FILE_NAME: Final = "journal.spill"
#: Room for some hundred verdicts.
SIZE_BYTES: Final = 1 << 20


class Spill:
    """The files, in the order in which they are tried."""

    def __init__(self, folders: Sequence[Path], size: int = SIZE_BYTES) -> None:
        log = logging.getLogger("verdict")
        self.files = [Reserve(folder / FILE_NAME, size, log) for folder in _apart(folders)]
        self._ends = dict.fromkeys(range(len(self.files)), 0)
        self._number = 0

    def take(self) -> None:
        """Take the space."""
        for file in self.files:
            file.take()

    def read(self) -> list[Row]:
        """What an earlier process left, in order. New records go behind it."""
        found: list[tuple[int, Row]] = []
        for place, file in enumerate(self.files):
            records, self._ends[place] = reserve.unpack(file.read())
            for number, kind, values in map(json.loads, records):
                found.append((number, Row(kind, values)))
        found.sort(key=lambda item: item[0])
        self._number = found[-1][0] if found else 0
        return [row for _, row in found]

    def add(self, row: Row) -> bool:
        """Write and sync one row; False when no file takes it."""
        self._number += 1
        record = reserve.pack(json.dumps([self._number, *row]).encode())
        for place, file in enumerate(self.files):
            # The next record overwrites the end behind this one.
            if file.write(self._ends[place], record + reserve.END):
                self._ends[place] += len(record)
                return True
        return False

    def clear(self) -> None:
        """The journal has everything."""
        for place, file in enumerate(self.files):
            if self._ends[place] and file.write(0, reserve.END):
                self._ends[place] = 0


def _apart(folders: Sequence[Path]) -> list[Path]:
    """Those of ``folders`` that lie on different file systems."""
    kept: dict[int, Path] = {}
    for folder in folders:
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            kept.setdefault(folder.stat().st_dev, folder)
    return list(kept.values())
