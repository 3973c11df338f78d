"""The journal: an append-only SQLite file of every bag and every verdict, on disk before anything is published."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from edge.messages import Verdict
from edge.verdict.actions import BagLeft, BagRecord
from edge.verdict.bags import Bag
from edge.verdict.policy import Judgement

FILE_NAME = "journal.sqlite"
#: "Dark" in ASCII marks the file as ours; the version is raised whenever a column changes its meaning.
APPLICATION_ID = 0x4461726B
VERSION = 1
BUSY_S = 5.0

_TABLES = """
CREATE TABLE bags (
    bag_id TEXT PRIMARY KEY, bag_tag TEXT NOT NULL, event_seq INTEGER NOT NULL, encoder INTEGER NOT NULL,
    entered_ns INTEGER NOT NULL, deadline_ns INTEGER NOT NULL, deadline_encoder INTEGER NOT NULL
) STRICT;
CREATE TABLE exits (
    bag_id TEXT PRIMARY KEY REFERENCES bags, encoder INTEGER NOT NULL, t_ns INTEGER NOT NULL
) STRICT;
CREATE TABLE verdicts (
    seq INTEGER PRIMARY KEY CHECK (seq > 0), bag_id TEXT NOT NULL REFERENCES bags, final INTEGER NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('ALARM', 'CLEAR', 'UNKNOWN')), reason TEXT,
    t_ns INTEGER NOT NULL, message TEXT NOT NULL,
    CHECK ((decision = 'UNKNOWN') = (reason IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX one_final_verdict ON verdicts (bag_id) WHERE final;
CREATE INDEX verdicts_of_bag ON verdicts (bag_id);
CREATE TABLE published (seq INTEGER PRIMARY KEY) STRICT;
"""
_APPEND_ONLY = (
    "CREATE TRIGGER {t}_no_{o} BEFORE {o} ON {t} BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;"
)
_RECORD = "bags.bag_id, bag_tag, event_seq, bags.encoder, entered_ns, deadline_ns, deadline_encoder"


class JournalError(RuntimeError):
    """The journal cannot be read or written; the text names the file and what to do."""


class AlreadyDecidedError(RuntimeError):
    """The bag has its final verdict; a second one was refused."""


class Journal:
    """The file, opened for writing. One writer; readers use :mod:`edge.verdict.journal_reader` at any time."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open or create ``path`` and check it; :class:`JournalError` when it is damaged or of another program.

        ``read_only``: for a disk that refuses every write; only the questions can be asked then.
        """
        self.path = path
        try:
            if read_only:
                self._db = _reading(path)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise JournalError(f"journal {path}: cannot be opened ({error}); check folder and disk") from error
        try:
            self._check()
            if read_only:
                return
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                self._db.execute(f"PRAGMA {pragma}")
            if not self._pragma("application_id"):
                self._create()
        except (OSError, sqlite3.Error) as error:
            self._db.close()
            hint = "check the disk's space and rights; if the file is damaged, move it away and start again"
            raise JournalError(f"journal {path}: {error}; {hint}") from error
        except JournalError:
            self._db.close()
            raise

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def _check(self) -> None:
        application, version = self._pragma("application_id"), self._pragma("user_version")
        objects = int(self._db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()[0])
        if application != APPLICATION_ID and (application or objects):
            raise JournalError(f"journal {self.path}: this is another program's database; move it away")
        if application and version != VERSION:
            raise JournalError(f"journal {self.path}: version {version}, this software writes {VERSION}; move it away")
        verdict = str(self._db.execute("PRAGMA quick_check(1)").fetchone()[0])
        if verdict != "ok":
            raise JournalError(f"journal {self.path}: damaged ({verdict}); move it away and start again")

    def _create(self) -> None:
        triggers = [
            _APPEND_ONLY.format(t=table, o=operation)
            for table in ("bags", "exits", "verdicts", "published")
            for operation in ("UPDATE", "DELETE")
        ]
        marks = [f"PRAGMA application_id = {APPLICATION_ID};", f"PRAGMA user_version = {VERSION};"]
        self._db.executescript("\n".join(["BEGIN IMMEDIATE;", _TABLES, *triggers, *marks, "COMMIT;"]))

    # ---- writing: each call is one transaction, on disk when it returns ------------------------------------

    def add_bag(self, record: BagRecord) -> None:
        """A bag entered. A bag that is there already is left as it is."""
        row = (
            record.bag_id, record.bag_tag, record.event_seq, record.encoder,
            record.entered_ns, record.deadline_ns, record.deadline_encoder,
        )  # fmt: skip
        self._write("INSERT INTO bags VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", row)

    def add_exit(self, left: BagLeft) -> None:
        """Its trailing edge passed the barrier."""
        self._write("INSERT INTO exits VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (left.bag_id, left.encoder, left.t_ns))

    def add_verdict(self, verdict: Verdict) -> None:
        """Its verdict, or a supplement; :class:`AlreadyDecidedError` for a second final one."""
        reason = verdict.reason.value if verdict.reason else None
        row = (
            verdict.seq, verdict.bag_id, int(verdict.final), verdict.decision.value, reason,
            verdict.t_ns, verdict.model_dump_json(),
        )  # fmt: skip
        try:
            self._write("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError as error:
            if verdict.final and self.final_seq(verdict.bag_id) is not None:
                raise AlreadyDecidedError(f"bag {verdict.bag_id} has its final verdict; another is refused") from error
            raise JournalError(f"journal {self.path}: verdict {verdict.seq} of {verdict.bag_id}: {error}") from error

    def mark_published(self, seq: int) -> None:
        """The verdict went out."""
        self._write("INSERT INTO published VALUES (?) ON CONFLICT DO NOTHING", (seq,))

    def _write(self, statement: str, row: tuple[object, ...]) -> None:
        try:
            self._db.execute(statement, row)
        except sqlite3.IntegrityError:
            raise
        except sqlite3.Error as error:
            hint = "free some space and check that the disk is writable; the journal goes on by itself then"
            raise JournalError(f"journal {self.path}: {error}; {hint}") from error

    # ---- reading -------------------------------------------------------------------------------------------

    def last_seq(self) -> int:
        """Sequence of the newest verdict; 0 when there is none."""
        return int(self._rows("SELECT COALESCE(MAX(seq), 0) FROM verdicts")[0][0])

    def finals(self) -> int:
        """Number of bags that have their final verdict."""
        return int(self._rows("SELECT COUNT(*) FROM verdicts WHERE final")[0][0])

    def final_seq(self, bag_id: str) -> int | None:
        """Sequence of the bag's final verdict."""
        rows = self._rows("SELECT seq FROM verdicts WHERE final AND bag_id = ?", bag_id)
        return int(rows[0][0]) if rows else None

    def holds(self, verdict: Verdict) -> bool:
        """Whether this very verdict is in it."""
        rows = self._rows("SELECT bag_id, t_ns FROM verdicts WHERE seq = ?", verdict.seq)
        return rows == [(verdict.bag_id, verdict.t_ns)]

    def unpublished(self) -> list[Verdict]:
        """Verdicts that were written, and then perhaps not sent."""
        rows = self._rows("SELECT message FROM verdicts WHERE seq NOT IN (SELECT seq FROM published) ORDER BY seq")
        return [self._verdict(row[0]) for row in rows]

    def open_bags(self) -> list[Bag]:
        """Bags that entered and have no final verdict, in order of entry."""
        rows = self._rows(
            f"SELECT {_RECORD}, exits.encoder, exits.t_ns FROM bags LEFT JOIN exits USING (bag_id) "  # noqa: S608
            "WHERE NOT EXISTS (SELECT 1 FROM verdicts WHERE final AND verdicts.bag_id = bags.bag_id) "
            "ORDER BY entered_ns, bags.encoder"
        )
        return [_bag(row) for row in rows]

    def find(self, bag_id: str) -> Bag | None:
        """The decided bag of this id, or None."""
        rows = self._rows(
            f"SELECT {_RECORD}, exits.encoder, exits.t_ns, message FROM bags JOIN verdicts USING (bag_id) "  # noqa: S608
            "LEFT JOIN exits USING (bag_id) WHERE final AND bag_id = ?",
            bag_id,
        )
        if not rows:
            return None
        verdict = self._verdict(rows[0][-1])
        bag = _bag(rows[0])
        bag.final = Judgement(verdict.decision, verdict.reason, verdict.detail, verdict.threshold)
        return bag

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"journal {self.path}: cannot be read ({error}); check the disk") from error

    def _verdict(self, message: str) -> Verdict:
        try:
            return Verdict.model_validate_json(message)
        except ValidationError as error:
            raise JournalError(f"journal {self.path}: a verdict in it cannot be read ({error})") from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _reading(path: Path) -> sqlite3.Connection:
    """A connection that writes nothing, not even the files that WAL mode wants beside an unused journal."""
    for mode in ("mode=ro", "mode=ro&immutable=1"):
        db = sqlite3.connect(f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=BUSY_S, isolation_level=None)
        try:
            db.execute("SELECT COUNT(*) FROM sqlite_schema").fetchone()
        except sqlite3.OperationalError:
            db.close()
            # With something in the write-ahead log, the file alone is not the newest state.
            log = path.with_name(f"{path.name}-wal")
            if log.exists() and log.stat().st_size:
                raise
        else:
            return db
    raise sqlite3.OperationalError("unable to open database file")


def _bag(row: tuple[Any, ...]) -> Bag:
    bag = Bag(BagRecord(*row[:7]), due_mono=0)
    if row[7] is not None:
        bag.exit_encoder, bag.exit_ns = int(row[7]), int(row[8])
    return bag
