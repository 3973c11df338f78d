"""Checks a journal, row by row: what the lane promises must hold in the file itself."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from edge import reserve
from edge.messages import Decision, Verdict
from edge.verdict.journal import JournalError
from edge.verdict.journal_reader import JournalReader
from edge.verdict.spill import FILE_NAME as SPILL

#: So many problems are named; more say no more.
NAMED = 100


@dataclass
class Report:
    """What was found. ``problems``: empty when the journal is sound."""

    path: Path
    bags: int = 0
    open_bags: list[str] = field(default_factory=list)
    finals: Counter[str] = field(default_factory=Counter)
    verdicts: list[Verdict] = field(default_factory=list)
    unpublished: int = 0
    waiting: int = 0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Everything in one line."""
        finals = ", ".join(f"{self.finals[d.value]} {d.value}" for d in Decision)
        supplements = len(self.verdicts) - sum(self.finals.values())
        last = self.verdicts[-1].seq if self.verdicts else 0
        return (
            f"{self.path}: {self.bags} bags, {len(self.open_bags)} open; {finals}, {supplements} supplements; "
            f"last sequence {last}, {self.unpublished} perhaps unsent, {self.waiting} rows in {SPILL}; "
            f"{len(self.problems)} problem(s)"
        )


def check(path: Path) -> Report:
    """Read all of the journal at ``path``; :class:`JournalError` when it cannot be read at all."""
    report = Report(path)
    with JournalReader(path) as reader:
        try:
            _integrity(reader, report)
            report.bags = int(reader.rows("SELECT COUNT(*) FROM bags")[0][0])
            report.open_bags = reader.open_bags()
            _verdicts(reader, report)
            known = "SELECT COUNT(*) FROM verdicts WHERE seq NOT IN (SELECT seq FROM published)"
            report.unpublished = int(reader.rows(known)[0][0])
        except sqlite3.Error as error:
            raise JournalError(f"journal {path}: cannot be read ({error})") from error
    spill = path.with_name(SPILL)
    if spill.is_file():
        report.waiting = len(reserve.unpack(spill.read_bytes())[0])
    del report.problems[NAMED:]
    return report


def _integrity(reader: JournalReader, report: Report) -> None:
    said = [str(row[0]) for row in reader.rows(f"PRAGMA integrity_check({NAMED})")]
    report.problems += [f"file: {line}" for line in said if line != "ok"]
    report.problems += [f"row without its bag: {row}" for row in reader.rows("PRAGMA foreign_key_check")]
    triggers = {str(row[0]) for row in reader.rows("SELECT name FROM sqlite_schema WHERE type = 'trigger'")}
    for table in ("bags", "exits", "verdicts", "published"):
        for operation in ("UPDATE", "DELETE"):
            if f"{table}_no_{operation}" not in triggers:
                report.problems.append(f"the trigger that forbids {operation} of {table} is gone")


def _verdicts(reader: JournalReader, report: Report) -> None:
    """Messages agree with their columns; sequences without a gap; one final per bag; supplements name a final."""
    problems = report.problems
    finals: dict[str, int] = {}
    columns = "seq, bag_id, final, decision, reason, t_ns, message"
    for row in reader.rows(f"SELECT {columns} FROM verdicts ORDER BY seq"):  # noqa: S608
        seq, bag_id, final, decision, reason, t_ns, message = row
        try:
            verdict = Verdict.model_validate_json(message)
        except ValueError as error:
            problems.append(f"verdict {seq} of {bag_id} cannot be read: {error}")
            continue
        told = (verdict.seq, verdict.bag_id, int(verdict.final), verdict.decision.value, verdict.t_ns)
        why = verdict.reason.value if verdict.reason else None
        if told != (seq, bag_id, final, decision, t_ns) or why != reason:
            problems.append(f"verdict {seq} of {bag_id}: the message says otherwise than its row")
        report.verdicts.append(verdict)
        if not final:
            pruned = verdict.supersedes is not None and verdict.supersedes < report.verdicts[0].seq
            if finals.get(bag_id) != verdict.supersedes and not pruned:
                problems.append(f"supplement {seq} of {bag_id} names {verdict.supersedes}, not its final verdict")
            continue
        report.finals[decision] += 1
        if finals.setdefault(bag_id, seq) != seq:
            problems.append(f"bag {bag_id} has the final verdicts {finals[bag_id]} and {seq}")
    for one, other in pairwise(verdict.seq for verdict in report.verdicts):
        if other != one + 1:
            problems.append(f"sequence jumps from {one} to {other}")
