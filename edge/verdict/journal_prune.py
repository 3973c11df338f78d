"""Retention: a journal is never shortened. It is closed under another name, and a new one goes on where it ended.

The new file takes over the newest verdicts (so the sequence goes on, and late results still find their bag) and the
bags without a verdict. The old file keeps every row; archive it or delete it as a whole.
"""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from edge import reserve
from edge.messages import Verdict
from edge.verdict.journal import Journal, JournalError
from edge.verdict.journal_check import check
from edge.verdict.spill import FILE_NAME as SPILL


class Pruned(NamedTuple):
    """The closed file, and how many verdicts each of the two holds."""

    closed: Path
    before: int
    kept: int


def prune(path: Path, keep_from_ns: int) -> Pruned | None:
    """Keep verdicts from ``keep_from_ns`` on (ns since 1970), and the newest one. None: nothing is older.

    The lane must be stopped. :class:`JournalError` when it is not, or when the journal is not sound.
    """
    _claim(path)
    report = check(path)
    if report.problems:
        raise JournalError(f"journal {path}: {report.problems[0]}; not pruned, see 'darklane journal check'")
    spill = path.with_name(SPILL)
    if spill.is_file() and reserve.unpack(spill.read_bytes())[0]:
        raise JournalError(f"journal {path}: rows wait in {spill}; start and stop the lane once, then prune")
    verdicts = report.verdicts
    first = _first(verdicts, keep_from_ns)
    kept = sum(verdict.seq >= first for verdict in verdicts)
    if kept == len(verdicts):
        return None
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    Journal(fresh).close()
    try:
        _copy(path, fresh, first)
        _claim(fresh)
    except sqlite3.Error as error:
        fresh.unlink(missing_ok=True)
        raise JournalError(f"journal {fresh}: {error}; nothing was changed") from error
    day = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
    closed = path.with_name(f"{path.stem}-until-{verdicts[-1].seq}-{day}{path.suffix}")
    # The old file has both names until the new one takes its place: at no moment is there none.
    os.link(path, closed)
    fresh.replace(path)
    return Pruned(closed, len(verdicts), kept)


def _first(verdicts: list[Verdict], keep_from_ns: int) -> int:
    """The sequence from which on verdicts stay: a supplement stays together with the verdict that it supplements."""
    recent = [verdict.seq for verdict in verdicts if verdict.t_ns >= keep_from_ns]
    first = min([*recent, *(verdict.seq for verdict in verdicts[-1:])], default=0)
    for verdict in reversed(verdicts):
        if verdict.seq >= first and verdict.supersedes is not None:
            first = min(first, verdict.supersedes)
    return first


def _claim(path: Path) -> None:
    """Put everything into the one file; refused by SQLite while anybody else has it open."""
    if not path.is_file():
        raise JournalError(f"journal {path}: there is none; name the state directory of a lane that has run")
    db = sqlite3.connect(path, timeout=0.5, isolation_level=None)
    try:
        mode = str(db.execute("PRAGMA journal_mode = DELETE").fetchone()[0])
    except sqlite3.Error as error:
        raise JournalError(f"journal {path}: {error}; stop the lane first") from error
    finally:
        db.close()
    if mode != "delete":
        raise JournalError(f"journal {path}: it is in use; stop the lane first")


def _copy(old: Path, new: Path, first: int) -> None:
    """Rows of the verdicts from ``first`` on, of their bags, and of the bags that have none."""
    db = sqlite3.connect(new, isolation_level=None)
    try:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("ATTACH ? AS old", (str(old),))
        bags = (
            "SELECT bag_id FROM old.verdicts WHERE seq >= ?1 UNION SELECT bag_id FROM old.bags WHERE bag_id NOT IN "
            "(SELECT bag_id FROM old.verdicts WHERE final)"
        )
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"INSERT INTO bags SELECT * FROM old.bags WHERE bag_id IN ({bags})", (first,))  # noqa: S608
        db.execute(f"INSERT INTO exits SELECT * FROM old.exits WHERE bag_id IN ({bags})", (first,))  # noqa: S608
        for table in ("verdicts", "published"):
            db.execute(f"INSERT INTO {table} SELECT * FROM old.{table} WHERE seq >= ?", (first,))  # noqa: S608
        db.execute("COMMIT")
    finally:
        db.close()
