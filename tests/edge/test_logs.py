"""Log lines: one per record, with the bag id, as journald and people read them."""

from __future__ import annotations

import ast
import io
import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edge
from edge.logs import LineFormatter, bag_of, is_journal

BAG = "B7.20260101T000000.00042"


def record(message: str, *args: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("verdict", level, "", 0, message, args, None)
    made.__dict__.update(extra)
    return made


def line(made: logging.LogRecord) -> str:
    return LineFormatter("verdict", journal=True).format(made)


def test_a_line_carries_priority_service_level_and_bag() -> None:
    assert line(record("bag %s %s%s", BAG, "CLEAR", "")) == f"<6>verdict INFO bag={BAG} bag {BAG} CLEAR"
    assert line(record("no bag", level=logging.CRITICAL)) == "<2>verdict CRITICAL no bag"
    assert line(record("x", level=logging.ERROR))[:3] == "<3>"
    assert line(record("x", level=logging.WARNING))[:3] == "<4>"
    assert line(record("x", level=logging.DEBUG))[:3] == "<7>"


@pytest.mark.parametrize(
    ("made", "bag_id"),
    [
        (record("%5.1f %% late: bag %s", 3.0, BAG), BAG),
        (record("%s of bag %s: %s", "row", BAG, "bag X"), BAG),
        (record("entry at %d", 5, bag_id=BAG), BAG),
        (record("entry at %d", 5, bag_id=""), ""),
        (record("the bag goes to inspection"), ""),
        (record("%d bag(s) were in the lane", 2), ""),
        (record("bag %s", "two words"), ""),
        (record("bag %s"), ""),
        (record("bag %s: %s"), ""),
        (record(f"bag {BAG}"), ""),
        (record("%(x)s bag %s", {"x": 1}), ""),
    ],
)
def test_where_the_bag_comes_from(made: logging.LogRecord, bag_id: str) -> None:
    assert bag_of(made) == bag_id


@given(st.text(), st.text())
def test_whatever_is_said_stays_one_line(message: str, value: str) -> None:
    text = line(record("bag %s: " + message.replace("%", ""), value))
    assert len(text.splitlines()) == 1
    assert all(letter.isprintable() or letter.isspace() or ord(letter) >= 160 for letter in text)


def test_a_traceback_stays_with_its_record() -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        made = record("bag %s failed", BAG)
        made.exc_info = sys.exc_info()
    text = line(made)
    assert "\n" not in text
    assert text.startswith(f"<6>verdict INFO bag={BAG} bag {BAG} failed\\nTraceback")
    assert text.endswith("ValueError: first\\nsecond")


def test_priorities_are_for_journald_and_times_for_files(tmp_path: Path) -> None:
    program = (
        "from edge.logs import set_up; import logging; set_up('toy'); logging.getLogger('x').error('bag %s', 'B1')"
    )
    file = tmp_path / "log"
    for journal, expected in ((True, r"<3>toy ERROR bag=B1 bag B1\n"), (False, r"\d{4}-.* toy ERROR bag=B1 bag B1\n")):
        with file.open("wb") as stream:
            status = os.fstat(stream.fileno())
            inode = status.st_ino if journal else status.st_ino + 1
            environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{inode}"}
            subprocess.run([sys.executable, "-c", program], stderr=stream, env=environment, check=True, timeout=60)
        assert re.fullmatch(expected, file.read_text())
    assert not is_journal(io.StringIO())


def test_every_record_of_the_services_that_knows_its_bag_says_so() -> None:
    """Calls of a logger whose values hold a bag id: in the field, or in the message where the field is taken from."""
    found, silent = 0, []
    for path in sorted(Path(edge.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if not re.search(r"\blog$|_log$", ast.unparse(node.func.value)) or len(node.args) < 2:
                continue
            values = [ast.unparse(value) for value in node.args[1:]]
            if any("bag_id" in value for value in values):
                found += 1
                message = ast.literal_eval(node.args[0])
                made = record(message, *(BAG if "bag_id" in value else 1 for value in values))
                if bag_of(made) != BAG and "extra" not in {keyword.arg for keyword in node.keywords}:
                    silent.append(f"{path.name}:{node.lineno}: {message}")
    assert silent == []
    assert found >= 20
