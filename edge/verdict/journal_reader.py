"""Reads a journal without touching it: while the lane runs, after it ended, from a copy."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from edge.messages import Verdict
from edge.verdict.journal import APPLICATION_ID, BUSY_S, VERSION, JournalError


class JournalReader:
    """A read-only connection; use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open ``path``; :class:`JournalError` when it is missing or not a journal of this version."""
        self.path = path
        if not path.is_file():
            raise JournalError(f"journal {path}: there is none; name the state directory of a lane that has run")
        self._db = self._open("mode=ro")
        try:
            version = self._identify()
        except sqlite3.Error as error:
            self._db.close()
            # A folder that cannot be written needs `immutable`, which is only right when nobody writes.
            if path.with_name(f"{path.name}-wal").exists() or not isinstance(error, sqlite3.OperationalError):
                raise JournalError(f"journal {path}: cannot be read ({error})") from error
            version = self._read_immutable()
        if version != VERSION:
            self._db.close()
            what = f"version {version}, this software reads {VERSION}" if version else "this is not a journal"
            raise JournalError(f"journal {path}: {what}")

    def _open(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(f"{self.path.resolve().as_uri()}?{mode}", uri=True, timeout=BUSY_S)

    def _read_immutable(self) -> int:
        try:
            self._db = self._open("immutable=1")
            return self._identify()
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: cannot be read ({error})") from error

    def _identify(self) -> int:
        """Version of the journal; 0 when it is none."""
        if self._db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            return 0
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def verdicts(self, newest: int | None = None, after_seq: int = 0) -> list[Verdict]:
        """Verdicts in order of sequence: all after ``after_seq``, or only the ``newest`` of them."""
        statement = "SELECT message FROM verdicts WHERE seq > ? ORDER BY seq DESC LIMIT ?"
        try:
            rows = self._db.execute(statement, (after_seq, -1 if newest is None else newest)).fetchall()
            return [Verdict.model_validate_json(row[0]) for row in reversed(rows)]
        except (sqlite3.Error, ValidationError) as error:
            raise JournalError(f"journal {self.path}: cannot be read ({error})") from error

    def open_bags(self) -> list[str]:
        """Ids of the bags that entered and have no final verdict yet."""
        statement = "SELECT bag_id FROM bags WHERE bag_id NOT IN (SELECT bag_id FROM verdicts WHERE final)"
        try:
            return [str(row[0]) for row in self._db.execute(f"{statement} ORDER BY entered_ns")]
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: cannot be read ({error})") from error
