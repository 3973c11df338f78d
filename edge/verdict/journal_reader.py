"""Reads a journal without touching it: while the lane runs, after it ended, from a copy."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Any

from pydantic import ValidationError

from edge.messages import BagNotice, Verdict
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
            # A folder that cannot be written needs `immutable`, which is only right when the log holds nothing.
            log = path.with_name(f"{path.name}-wal")
            written = log.exists() and log.stat().st_size
            if written or not isinstance(error, sqlite3.OperationalError):
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
        rows = self.rows(statement, after_seq, -1 if newest is None else newest)
        return self._verdicts([row[0] for row in reversed(rows)])

    def open_bags(self) -> list[str]:
        """Ids of the bags that entered and have no final verdict yet."""
        statement = "SELECT bag_id FROM bags WHERE bag_id NOT IN (SELECT bag_id FROM verdicts WHERE final)"
        return [str(row[0]) for row in self.rows(f"{statement} ORDER BY entered_ns")]

    def notices(self) -> list[BagNotice]:
        """The same bags as they were announced, in order of entry."""
        statement = (
            "SELECT bag_id, bag_tag, encoder, deadline_ns FROM bags WHERE NOT EXISTS "
            "(SELECT 1 FROM verdicts WHERE final AND verdicts.bag_id = bags.bag_id) ORDER BY entered_ns"
        )
        return [BagNotice(bag_id=b, bag_tag=t, encoder=e, deadline_ns=d) for b, t, e, d in self.rows(statement)]

    def decided(self, bag_id: str) -> bool:
        """Whether the bag has its final verdict."""
        return bool(self.rows("SELECT 1 FROM verdicts WHERE final AND bag_id = ?", bag_id))

    def last_seq(self) -> int:
        """Sequence of the newest verdict; 0 when there is none."""
        return int(self.rows("SELECT COALESCE(MAX(seq), 0) FROM verdicts")[0][0])

    def page(self, after_seq: int, until_seq: int, limit: int, max_bytes: int) -> tuple[list[Verdict], bool]:
        """Verdicts after ``after_seq`` up to ``until_seq``, oldest first, and whether there are more of them.

        At most ``limit``, and about ``max_bytes`` of text, but at least one.
        """
        statement = "SELECT message FROM verdicts WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
        texts: list[str] = []
        size = 0
        for (text,) in self.rows(statement, after_seq, until_seq, limit + 1):
            size += len(text)
            if len(texts) == limit or (texts and size > max_bytes):
                return self._verdicts(texts), True
            texts.append(text)
        return self._verdicts(texts), False

    def _verdicts(self, texts: list[str]) -> list[Verdict]:
        try:
            return [Verdict.model_validate_json(text) for text in texts]
        except ValidationError as error:
            raise JournalError(f"journal {self.path}: cannot be read ({error})") from error

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """All rows of one query."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: cannot be read ({error})") from error
