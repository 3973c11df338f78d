"""``darklane journal``: what check finds, what export writes, and that prune loses nothing and keeps the sequence."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge.commands.journal import COLUMNS, app
from edge.messages import Fault, Verdict
from edge.verdict.actions import Now
from edge.verdict.bags import new_bag, verdict_on
from edge.verdict.journal import FILE_NAME, JournalError
from edge.verdict.journal_check import check
from edge.verdict.journal_prune import prune
from edge.verdict.policy import Judgement, unknown
from edge.verdict.recorder import Recorder
from tests.edge.test_journal import ALARM, CLEAR
from tests.edge.verdict_scene import LIMITS, WALL0, S, assessment, entry

HOUR = 3600 * S
LATE = unknown(Fault.TIMEOUT, "late")


def decide(recorder: Recorder, name: str, number: int, judgement: Judgement = CLEAR, *, late: bool = False) -> None:
    """Bag ``number`` enters and is decided in hour ``number``; ``late``: it has its final verdict already."""
    now = Now(WALL0 + number * HOUR, number * HOUR)
    bag = new_bag(name, entry(name, 1000 * number, 0, number), now.wall, LIMITS, now)
    recorder.bag(bag.record)
    bag.final = CLEAR if late else None
    assert recorder.verdict(verdict_on(bag, judgement, assessment(name), now), now) is not None


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of six verdicts in as many hours, one of them a supplement, and of one open bag."""
    recorder = Recorder(tmp_path / FILE_NAME, boot_id="boot")
    recorder.open(Now(WALL0, 0))
    for number, name in enumerate("ABCD", start=1):
        decide(recorder, name, number, ALARM if name == "B" else CLEAR)
    decide(recorder, "C", 5, ALARM, late=True)
    decide(recorder, "E", 6)
    recorder.bag(new_bag("OPEN", entry("OPEN", 9000, 0, 9), WALL0, LIMITS, Now(WALL0, 0)).record)
    recorder.published(1)
    recorder.close()
    return recorder.path


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, open for somebody who wants to change history."""
    connection = sqlite3.connect(path, isolation_level=None)
    for table in ("verdicts", "bags"):
        for operation in ("UPDATE", "DELETE"):
            connection.execute(f"DROP TRIGGER {table}_no_{operation}")
    yield connection
    connection.close()


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(words))
    return result.exit_code, result.output


def test_a_sound_journal_is_said_to_be_sound(path: Path) -> None:
    report = check(path)
    assert report.problems == []
    code, said = run("check", "--state-dir", str(path.parent))
    assert code == 0
    assert "6 bags, 1 open; 1 ALARM, 4 CLEAR, 0 UNKNOWN, 1 supplements; last sequence 6, 5 perhaps unsent" in said


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE verdicts SET decision = 'CLEAR' WHERE seq = 2", "verdict 2 of B: the message says otherwise"),
        ("DELETE FROM verdicts WHERE seq = 3", "sequence jumps from 2 to 4"),
        ("UPDATE verdicts SET message = '{}' WHERE seq = 4", "verdict 4 of D cannot be read"),
        ("DELETE FROM bags WHERE bag_id = 'C'", "row without its bag"),
    ],
)
def test_changed_history_is_found(path: Path, db: sqlite3.Connection, change: str, problem: str) -> None:
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute(change)
    code, said = run("check", "--file", str(path))
    assert code == 1
    assert problem in said
    assert "trigger that forbids UPDATE of verdicts is gone" in said
    db.close()
    with pytest.raises(JournalError, match="not pruned"):
        prune(path, WALL0 + 3 * HOUR)


def test_two_final_verdicts_are_found(path: Path, db: sqlite3.Connection) -> None:
    db.execute("DROP INDEX one_final_verdict")
    seq, bag_id = 7, "A"
    (message,) = db.execute("SELECT message FROM verdicts WHERE seq = 1").fetchone()
    again = Verdict.model_validate_json(message).model_copy(update={"seq": seq})
    row = (seq, bag_id, 1, "CLEAR", None, again.t_ns, again.model_dump_json())
    db.execute("INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    assert "bag A has the final verdicts 1 and 7" in check(path).problems


def test_export_writes_everything_as_json_lines_and_a_table_as_csv(path: Path, tmp_path: Path) -> None:
    code, said = run("export", "--file", str(path))
    assert code == 0
    assert [Verdict.model_validate_json(line) for line in said.splitlines()] == check(path).verdicts
    target = tmp_path / "out.csv"
    code, _ = run("export", "--file", str(path), "--format", "csv", "--after", "4", "--out", str(target))
    assert code == 0
    with target.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["seq"], row["bag_id"], row["decision"], row["supersedes"]) for row in rows] == [
        ("5", "C", "ALARM", "3"),
        ("6", "E", "CLEAR", ""),
    ]
    assert list(rows[0]) == list(COLUMNS)
    assert run("export", "--file", str(tmp_path / "none"))[0] == 1


def test_prune_closes_the_old_file_whole_and_the_new_one_goes_on(path: Path) -> None:
    code, said = run("prune", "--state-dir", str(path.parent), "--keep-days", "36500")
    assert code == 0
    assert "nothing is older" in said
    before = check(path)
    pruned = prune(path, WALL0 + 4 * HOUR)
    assert pruned is not None
    assert (pruned.before, pruned.kept) == (6, 4)
    assert check(pruned.closed).verdicts == before.verdicts
    after = check(path)
    assert after.problems == []
    assert after.verdicts == before.verdicts[2:]
    assert after.open_bags == ["OPEN"]
    recorder = Recorder(path, boot_id="next")
    assert [bag.record.bag_id for bag in recorder.open(Now(WALL0, 0))] == ["OPEN"]
    decide(recorder, "F", 7, LATE)
    assert recorder.last_seq == 7
    assert recorder.find("D") is not None
    assert recorder.find("B") is None
    recorder.close()
    assert json.loads(run("export", "--file", str(path), "--after", "6")[1])["bag_id"] == "F"


def test_prune_keeps_the_newest_verdict_for_the_sequence(path: Path) -> None:
    pruned = prune(path, WALL0 + 100 * HOUR)
    assert pruned is not None
    assert pruned.kept == 1
    assert [verdict.seq for verdict in check(path).verdicts] == [6]


def test_a_journal_in_use_is_not_pruned(path: Path) -> None:
    recorder = Recorder(path, boot_id="lane")
    recorder.open(Now(WALL0, 0))
    code, said = run("prune", "--state-dir", str(path.parent), "--keep-days", "0")
    assert code == 1
    assert "stop the lane first" in said
    recorder.close()
    assert prune(path, WALL0 + 4 * HOUR) is not None
    with pytest.raises(JournalError, match="there is none"):
        prune(path.with_name("other"), 0)
