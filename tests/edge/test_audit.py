"""The audit's chain: what was done to it is named, and a power failure is not called tampering."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from edge.audit import line, log
from edge.audit.check import Report, check
from edge.audit.log import AuditLog, recorded
from edge.commands import app

LINES = 6


def filled(folder: Path, lines: int = LINES) -> list[bytes]:
    audit = AuditLog(folder)
    for number in range(lines):
        audit.append({"action": "move", "target": number, "who": "µ"})
    return content(folder)


def content(folder: Path) -> list[bytes]:
    return [text for path in log.files(folder) for text in path.read_bytes().splitlines()]


def put(folder: Path, lines: list[bytes]) -> None:
    (path,) = log.files(folder)
    path.write_bytes(b"".join(text + b"\n" for text in lines))


@cache
def template() -> tuple[str, tuple[bytes, ...]]:
    with tempfile.TemporaryDirectory() as name:
        lines = filled(Path(name))
        return log.files(Path(name))[0].name, tuple(lines)


@contextmanager
def chain() -> Iterator[tuple[Path, list[bytes]]]:
    name, lines = template()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).touch()
        put(Path(folder), list(lines))
        yield Path(folder), list(lines)


def ok(report: Report) -> bool:
    return not report.problem


def test_lines_are_json_numbered_and_linked(tmp_path: Path) -> None:
    lines = [json.loads(text) for text in filled(tmp_path)]
    assert [text["n"] for text in lines] == [1, 2, 3, 4, 5, 6]
    assert [text["prev"] for text in lines] == [line.NOTHING, *(text["sha256"] for text in lines[:-1])]
    report = check(tmp_path)
    assert (report.lines, report.head, report.problem, report.notes) == (LINES, lines[-1]["sha256"], "", [])
    assert ok(check(tmp_path, lines[2]["sha256"]))
    assert check(tmp_path / "absent") == Report()


def at(number: int) -> st.SearchStrategy[int]:
    return st.integers(0, number)


@settings(max_examples=40)
@given(at(LINES - 1), st.integers(0, 10_000), st.integers(1, 255))
def test_any_changed_byte_is_named(k: int, place: int, change: int) -> None:
    with chain() as (folder, lines):
        head = line.parse(lines[-1])
        changed = bytearray(lines[k])
        changed[place % len(changed)] ^= change
        put(folder, [*lines[:k], bytes(changed), *lines[k + 1 :]])
        report = check(folder)
        assert report.at == k + 1, report
        assert not ok(check(folder, head.sha256 if head else ""))


@given(at(LINES - 2), st.integers(1, LINES))
def test_removed_lines_are_named(k: int, many: int) -> None:
    with chain() as (folder, lines):
        many = min(many, LINES - 1 - k)
        put(folder, lines[:k] + lines[k + many :])
        report = check(folder)
        assert report.at == k + 1
        assert f"lines {k + 1} to {k + many} were removed" in report.problem


@given(at(LINES - 1))
def test_lines_cut_off_at_the_end_are_missed_only_by_their_hash(k: int) -> None:
    with chain() as (folder, lines):
        last = line.parse(lines[-1])
        assert last is not None
        put(folder, lines[:k])
        assert ok(check(folder))
        assert check(folder, last.sha256).at == k + 1


@given(at(LINES - 1), at(LINES))
def test_a_copied_line_is_named(source: int, k: int) -> None:
    with chain() as (folder, lines):
        put(folder, [*lines[:k], lines[source], *lines[k:]])
        # The copy of the line that comes next is a line twice: which one is the copy nobody can say.
        assert check(folder).at == (k + 1 if source < k else k + 2 if source == k else k + 1)


@given(at(LINES - 1))
def test_a_forged_line_with_a_right_hash_is_named(k: int) -> None:
    with chain() as (folder, lines):
        prev = line.parse(lines[k - 1]) if k else None
        forged = line.build(k + 1, prev.sha256 if prev else line.NOTHING, "", {"action": "beam_on"})
        put(folder, [*lines[:k], forged, *lines[k:]])
        report = check(folder)
        assert report.at == k + 1
        assert "inserted" in report.problem
        put(folder, [*lines[:k], forged, *lines[k + 1 :]])
        if k < LINES - 1:
            assert check(folder).at == k + 1
            assert "its hash made anew" in check(folder).problem


@given(at(LINES - 2), at(LINES - 2))
def test_lines_in_another_order_are_named(i: int, j: int) -> None:
    with chain() as (folder, lines):
        a, b = sorted((i, j + 1 if j >= i else j))
        if a == b:
            return
        lines[a], lines[b] = lines[b], lines[a]
        put(folder, lines)
        assert check(folder).at == a + 1


@settings(max_examples=40)
@given(st.binary(max_size=200).filter(lambda text: b"\n" not in text), at(LINES))
def test_rubbish_is_named(text: bytes, k: int) -> None:
    with chain() as (folder, lines):
        put(folder, [*lines[:k], text, *lines[k:]])
        assert check(folder).at == k + 1
        AuditLog(folder).append({"action": "later"})
        assert check(folder).at == k + 1


@settings(max_examples=40)
@given(st.data())
def test_a_line_that_the_power_cut_is_told_from_tampering(data: st.DataObject) -> None:
    with chain() as (folder, lines):
        (path,) = log.files(folder)
        for _ in range(data.draw(st.integers(1, 3))):
            whole = line.build(99, "0" * 64, "", {"action": "move"})
            with path.open("ab") as file:
                file.write(
                    b"\n" * (not path.read_bytes().endswith(b"\n")) + whole[: data.draw(at(len(whole) - 1))] + b"{"
                )
        assert ok(check(folder))
        assert len(check(folder).notes) == 1
        AuditLog(folder).append({"action": "after"})
        report = check(folder)
        assert ok(report)
        assert (report.lines, len(report.notes)) == (LINES + 1, 1)
        # Now somebody takes the remains away, or changes them.
        kept = content(folder)
        put(folder, [*lines, kept[-1]])
        assert check(folder).at == LINES + 1
        put(folder, [*lines, b"{other", kept[-1]])
        assert check(folder).at == LINES + 1


def test_a_line_that_lacks_only_its_end_counts(tmp_path: Path) -> None:
    filled(tmp_path)
    (path,) = log.files(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert ok(check(tmp_path))
    assert AuditLog(tmp_path).append({}).n == LINES + 1
    report = check(tmp_path)
    assert (report.lines, report.problem, report.notes) == (LINES + 1, "", [])


def test_the_chain_goes_on_in_the_next_month_and_a_clock_that_went_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = AuditLog(tmp_path)
    for day in ("2026-01-31", "2026-02-01", "2026-01-31", "2026-03-01"):
        moment = time.mktime(time.strptime(day, "%Y-%m-%d")) + 43_200
        monkeypatch.setattr(time, "time_ns", lambda moment=moment: round(moment * 1e9))
        audit.append({"day": day})
    names = [path.name for path in log.files(tmp_path)]
    assert names == ["audit-2026-01.jsonl", "audit-2026-02.jsonl", "audit-2026-03.jsonl"]
    assert check(tmp_path).lines == 4
    (tmp_path / names[1]).unlink()
    assert "lines 2 to 3 were removed" in check(tmp_path).problem


def test_a_line_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    audit = AuditLog(tmp_path)
    for _ in range(3):
        audit.append({"reason": "x" * 200_000})
    assert (check(tmp_path).lines, check(tmp_path).problem) == (3, "")


def test_programs_that_write_at_once_make_one_chain(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from edge.audit.log import AuditLog; log = AuditLog(Path(sys.argv[1]))\n"
        "for i in range(15): log.append({'by': sys.argv[2], 'i': i})"
    )
    running = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(number)]) for number in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert (check(tmp_path).lines, check(tmp_path).problem) == (45, "")


def test_a_lock_that_is_never_given_back_ends_in_an_error(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(OSError, match="another program has held its lock"):
        AuditLog(tmp_path, patience_s=0.05).append({})
    os.close(held)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = filled(tmp_path)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, text: real(fd, text[:20]))
    with pytest.raises(OSError, match="no room"):
        AuditLog(tmp_path).append({})
    assert content(tmp_path) == before


def test_a_change_is_written_down_before_and_after(tmp_path: Path) -> None:
    with recorded(tmp_path, "keys allow", name="a"):
        assert json.loads(content(tmp_path / "audit")[-1])["phase"] == "begin"
    with pytest.raises(ValueError, match="no such"), recorded(tmp_path, "keys allow", name="b"):
        raise ValueError("no such key")
    lines = [json.loads(text) for text in content(tmp_path / "audit")]
    assert [text["phase"] for text in lines] == ["begin", "done", "begin", "failed"]
    assert lines[3]["reason"] == "no such key"
    assert lines[0]["by"]


def test_what_cannot_be_written_down_is_not_done_except_to_take_rights_away(tmp_path: Path) -> None:
    (tmp_path / "audit").write_text("in the way of the folder")
    done = []
    with pytest.raises(OSError, match="File exists"), recorded(tmp_path, "keys allow"):
        done.append("allow")
    with recorded(tmp_path, "keys revoke", always=True):
        done.append("revoke")
    assert done == ["revoke"]


def test_the_command_names_the_line(tmp_path: Path) -> None:
    def call(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, [*words, "--state-dir", str(tmp_path)])
        return result.exit_code, result.output

    assert call("keys", "new")[0] == 0
    assert call("keys", "allow", "sorter", "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID")[0] == 0
    assert call("keys", "revoke", "sorter")[0] == 0
    assert call("model", "activate", "none")[0] == 0
    lines = [json.loads(text) for text in content(tmp_path / "audit")]
    assert [text["action"] for text in lines[::2]] == ["keys new", "keys allow", "keys revoke", "model active"]
    assert (lines[-1]["before"], lines[-1]["name"]) == ("shipped", "none")
    code, told = call("audit", "verify")
    assert code == 0
    assert f"8 line(s) in {tmp_path / 'audit'}, none changed; head {lines[-1]['sha256']}" in told
    (path,) = log.files(tmp_path / "audit")
    path.write_bytes(path.read_bytes().replace(b'"name": "sorter"', b'"name": "porter"', 1))
    code, told = call("audit", "verify")
    assert code == 1
    assert f"{path.name}:3: line 3 was changed" in told
    code, told = call("audit", "verify", "--json")
    assert json.loads(told.splitlines()[0])["at"] == 3
    # Its own secret never stands in it.
    assert b"secret" not in path.read_bytes()


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(text: bytes) -> None:
    assert line.parse(text) is None
    head = text + b', "sha256": "' + line.digest(text).encode() + b'"}'
    assert line.parse(head) is None
