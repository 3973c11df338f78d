"""The journal: append-only, one final verdict per bag, survives kill -9, honest about a disk that refuses."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from edge.messages import Decision, Fault, Verdict
from edge.verdict.actions import BagLeft
from edge.verdict.bags import Bag, new_bag, verdict_on
from edge.verdict.journal import AlreadyDecidedError, Journal, JournalError
from edge.verdict.journal_reader import JournalReader
from edge.verdict.policy import Judgement, unknown
from edge.verdict.recorder import Recorder
from tests.edge.verdict_scene import LIMITS, THREAT, assessment, at, entry

ROOT = Path(__file__).parents[2]
CLEAR = Judgement(Decision.CLEAR, None, "", 0.5)
ALARM = Judgement(Decision.ALARM, None, "", 0.5)


def bag(name: str, number: int = 1) -> Bag:
    return new_bag(name, entry(name, 1000 * number, 1, number), at(1).wall, LIMITS, at(1))


def decide(name: str, judgement: Judgement = CLEAR, *, late: bool = False) -> Verdict:
    judged = bag(name)
    judged.final = unknown(Fault.TIMEOUT, "") if late else None
    return verdict_on(judged, judgement, assessment(name), at(2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def opened(path: Path) -> Recorder:
    recorder = Recorder(path, boot_id="boot")
    recorder.open(at(0))
    return recorder


def test_open_bags_and_verdicts_survive_a_restart(path: Path) -> None:
    first = opened(path)
    for number, name in enumerate("ABC", start=1):
        first.bag(bag(name, number).record)
    first.left(BagLeft("B", 5000, at(2).wall))
    verdict = first.verdict(decide("A"), at(2))
    first.close()
    assert verdict is not None
    second = Recorder(path, boot_id="next")
    bags = second.open(at(3))
    assert [(b.record.bag_id, b.exit_encoder) for b in bags] == [("B", 5000), ("C", None)]
    assert bags[0].record == bag("B", 2).record
    assert (second.last_seq, second.finals) == (1, 1)
    assert second.unpublished() == [verdict]
    second.published(1)
    assert second.unpublished() == []
    known = second.find("A")
    assert known is not None
    assert known.final == CLEAR
    assert second.find("B") is None
    second.close()


def test_sequence_goes_on_and_a_supplement_names_what_it_supplements(path: Path) -> None:
    recorder = opened(path)
    for name in "AB":
        recorder.bag(bag(name).record)
        recorder.verdict(decide(name, unknown(Fault.TIMEOUT, "late")), at(2))
    recorder.close()
    recorder = opened(path)
    late = recorder.verdict(decide("A", ALARM, late=True), at(3))
    assert late is not None
    assert (late.seq, late.supersedes, late.final) == (3, 1, False)
    recorder.close()


def test_a_second_final_verdict_is_refused_by_recorder_and_file(path: Path) -> None:
    recorder = opened(path)
    recorder.bag(bag("A").record)
    first = recorder.verdict(decide("A"), at(2))
    assert first is not None
    assert recorder.verdict(decide("A", ALARM), at(3)) is None
    assert recorder.journal is not None
    with pytest.raises(AlreadyDecidedError, match="A has its final verdict"):
        recorder.journal.add_verdict(first.model_copy(update={"seq": 9}))
    with pytest.raises(JournalError, match="verdict 1 of B"):
        recorder.journal.add_verdict(first.model_copy(update={"bag_id": "B"}))
    recorder.close()


def test_rows_can_neither_be_changed_nor_deleted(path: Path) -> None:
    recorder = opened(path)
    recorder.bag(bag("A").record)
    recorder.verdict(decide("A"), at(2))
    recorder.close()
    with sqlite3.connect(path) as db:
        for table in ("bags", "verdicts"):
            for statement in (f"UPDATE {table} SET bag_id = 'X'", f"DELETE FROM {table}"):  # noqa: S608
                with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                    db.execute(statement)
    db.close()


def test_every_commit_is_synced(path: Path) -> None:
    journal = Journal(path)
    assert journal._pragma("synchronous") == 2
    assert journal._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    journal.close()


def test_a_full_disk_turns_clear_into_unknown_keeps_alarms_and_is_caught_up(path: Path) -> None:
    recorder = opened(path)
    assert recorder.journal is not None
    recorder.bag(bag("A").record)
    # The pages that SQLite may use are the test's disk.
    recorder.journal._db.execute("PRAGMA journal_size_limit = 0")
    pages = recorder.journal._pragma("page_count")
    recorder.journal._db.execute(f"PRAGMA max_page_count = {pages}")
    names = [f"F{n}" for n in range(200)]
    said = []
    for number, name in enumerate(names, start=2):
        recorder.bag(bag(name, number).record)
        said.append(recorder.verdict(decide(name), at(2)))
    refused = [v for v in said if v is not None and v.decision is Decision.UNKNOWN]
    assert "full" in recorder.fault
    assert refused
    assert refused == said[-len(refused) :]
    assert all(v.reason is Fault.FAILED_RECON and "not in the journal" in v.detail for v in refused)
    recorder.bag(bag("Z", 999).record)
    alarm = recorder.verdict(decide("Z", ALARM), at(2))
    assert alarm is not None
    assert alarm.decision is Decision.ALARM
    recorder.journal._db.execute("PRAGMA max_page_count = 1000000")
    recorder.tick(at(0.5))
    assert recorder.fault
    recorder.tick(at(5))
    assert recorder.fault == ""
    clear = recorder.verdict(decide("A"), at(6))
    assert clear is not None
    assert clear.decision is Decision.CLEAR
    recorder.close()
    with JournalReader(path) as reader:
        assert reader.verdicts() == [*said, alarm, clear]
        assert reader.open_bags() == []


def test_a_journal_that_cannot_be_written_is_a_fault_until_it_can(path: Path) -> None:
    recorder = opened(path)
    assert recorder.journal is not None
    recorder.journal._db.execute("PRAGMA query_only = 1")
    recorder.bag(bag("A").record)
    verdict = recorder.verdict(decide("A"), at(1))
    assert verdict is not None
    assert verdict.decision is Decision.UNKNOWN
    assert "readonly" in recorder.fault
    recorder.journal._db.execute("PRAGMA query_only = 0")
    recorder.tick(at(3))
    assert recorder.fault == ""
    assert recorder.find("A") is not None
    recorder.close()


def test_a_journal_that_appears_late_brings_its_open_bags_and_keeps_its_sequence(path: Path, tmp_path: Path) -> None:
    first = opened(path)
    for number, name in enumerate("AB", start=1):
        first.bag(bag(name, number).record)
    first.verdict(decide("A"), at(1))
    first.close()
    kept = path.rename(tmp_path / "kept")
    path.mkdir()
    recorder = opened(path)
    assert recorder.journal is None
    assert str(path) in recorder.fault
    recorder.bag(bag("C", 3).record)
    assert recorder.verdict(decide("C"), at(2)) is not None
    path.rmdir()
    kept.rename(path)
    assert [b.record.bag_id for b in recorder.tick(at(5))] == ["B"]
    assert recorder.fault == ""
    recorder.close()
    with JournalReader(path) as reader:
        assert [(v.seq, v.bag_id, v.decision) for v in reader.verdicts()] == [
            (1, "A", Decision.CLEAR),
            (2, "C", Decision.UNKNOWN),
        ]


def test_a_damaged_journal_is_named_and_left_alone(path: Path) -> None:
    recorder = opened(path)
    for number in range(300):
        recorder.bag(bag(f"N{number}", number).record)
    recorder.close()
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 8] = b"\xa5" * (4096 * 5)
    path.write_bytes(content)
    damaged = opened(path)
    assert damaged.journal is None
    assert "move it away" in damaged.fault
    assert path.read_bytes() == bytes(content)


def test_other_databases_and_versions_are_refused(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE recipes (name TEXT)")
    db.close()
    with pytest.raises(JournalError, match="another program"):
        Journal(path)
    with pytest.raises(JournalError, match="not a journal"):
        JournalReader(path)
    path.unlink()
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 7")
    db.close()
    for kind in (Journal, JournalReader):
        with pytest.raises(JournalError, match="version 7"):
            kind(path)


def test_reader_works_beside_the_writer_and_from_a_bare_copy(path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is none"):
        JournalReader(path)
    recorder = opened(path)
    recorder.bag(bag("A").record)
    recorder.bag(bag("B", 2).record)
    with JournalReader(path) as reader:
        assert (reader.verdicts(), reader.open_bags()) == ([], ["A", "B"])
        recorder.verdict(decide("A"), at(1))
        assert [v.bag_id for v in reader.verdicts()] == ["A"]
    recorder.verdict(decide("B"), at(1))
    recorder.close()
    copy = shutil.copy(path, tmp_path / "copy.sqlite")
    with JournalReader(Path(copy)) as reader:
        assert [v.bag_id for v in reader.verdicts(newest=1)] == ["B"]
        assert [v.bag_id for v in reader.verdicts(after_seq=1)] == ["B"]
    path.write_bytes(b"not a database at all" * 500)
    with pytest.raises(JournalError, match="not a database"):
        JournalReader(path)


def program(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=90, check=False)


def test_kill_9_in_the_write_path_loses_and_doubles_nothing() -> None:
    done = program("tests.chaos.journal", "--kills", "40", "--seed", "7")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("40 kills, "), done.stdout
    assert "0 lost, 0 doubled" in done.stdout


@pytest.mark.parametrize("kind", ["full", "read-only", "limit"])
def test_a_disk_that_refuses_costs_no_published_verdict_even_when_the_service_is_killed(
    kind: str, tmp_path: Path
) -> None:
    done = program("tests.chaos.refusing", kind, str(tmp_path))
    if done.returncode == 77:
        pytest.skip("no mount namespace of one's own is allowed here")
    assert done.returncode == 0, done.stderr
    assert "refused at bag" in done.stdout


def test_numbers_that_json_does_not_have_never_reach_the_journal(path: Path) -> None:
    odd = THREAT.model_copy(update={"features": {"R_df": math.nan, "R_ab": 1.0}, "area_mm2": math.inf})
    found = assessment("A", objects=(odd,), air_scale=(math.nan, 1.0), fault=Fault.FAILED_RECON)
    recorder = opened(path)
    recorder.bag(bag("A").record)
    said = recorder.verdict(verdict_on(bag("A"), unknown(Fault.FAILED_RECON, ""), found, at(2)), at(2))
    assert said is not None
    assert said.objects[0].features == {"R_ab": 1.0}
    assert recorder.unpublished() == [said]
    recorder.close()
