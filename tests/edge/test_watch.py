"""``darklane watch`` and ``darklane verdicts``: what a person and a script see."""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from edge.bus import Bus
from edge.client import Gap, Silence
from edge.commands.verdicts import verdicts
from edge.commands.watch import watch
from edge.commands.watch_board import Board
from edge.fanout import HOLD_NS
from edge.messages import BagNotice, Decision, Fault, LaneState, Message, Verdict
from edge.verdict.actions import Now
from edge.verdict.bags import new_bag, verdict_on
from edge.verdict.feed import Feed
from edge.verdict.policy import Judgement, unknown
from edge.verdict.recorder import Recorder
from tests.edge.verdict_scene import LIMITS, THREAT, assessment, at, entry

ALARM = Judgement(Decision.ALARM, None, "", 0.5)
RUNNING = Now(at(5).wall, HOLD_NS)


def verdict(name: str, judgement: Judgement, *, late: bool = False) -> Verdict:
    bag = new_bag(name, entry(name, 100, 1), at(1).wall, LIMITS, at(1))
    bag.final = judgement if late else None
    return verdict_on(bag, judgement, assessment(name, score=0.9, objects=(THREAT,)), at(2))


def shown(board: Board, wall_s: float = 3.0, mono_s: float = 0.0) -> str:
    console = Console(width=160, record=True, color_system=None, file=Path("/dev/null").open("w", encoding="utf-8"))  # noqa: SIM115
    console.print(board.render(at(wall_s).wall, mono_s))
    console.file.close()
    return console.export_text()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="dlw", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command("watch")(watch)
    made.command("verdicts")(verdicts)
    return made


def fill(state_dir: Path) -> None:
    recorder = Recorder(state_dir / "journal.sqlite", boot_id="boot")
    recorder.open(at(0))
    for name, judgement in (("A", ALARM), ("B", unknown(Fault.TIMEOUT, "late"))):
        recorder.bag(new_bag(name, entry(name, 100, 1), at(1).wall, LIMITS, at(1)).record)
        recorder.verdict(verdict(name, judgement), at(2))
    recorder.verdict(verdict("B", ALARM, late=True), at(3))
    recorder.bag(new_bag("C", entry("C", 100, 1), at(1).wall, LIMITS, at(1)).record)
    recorder.close()


def test_board_follows_bags_and_counts_repeats_once() -> None:
    board = Board("lane-7")
    assert "is the lane running?" in shown(board)
    board.take(LaneState(state="SCANNING", calibration_state="CALIBRATED", bags_in_flight=1, dropped=4), 0.0)
    board.take(BagNotice(bag_id="A", bag_tag="[red]tag[/]", deadline_ns=at(11).wall), 0.0)
    text = shown(board)
    assert "lane-7: SCANNING" in text
    assert "dropped 4" in text
    assert "[red]tag[/]" in text
    assert "at most 8 s more" in text
    for _ in range(2):
        board.take(verdict("A", unknown(Fault.TIMEOUT, "late")), 0.0)
    board.take(verdict("A", ALARM, late=True), 0.0)
    text = shown(board)
    assert "UNKNOWN (later: ALARM)" in text
    assert "Timeout" in text
    assert board.finals == 1


def test_board_says_when_the_lane_falls_silent() -> None:
    board = Board("lane-7")
    board.take(LaneState(state="READY"), 10.0)
    assert "READY" in shown(board, mono_s=13.0)
    board.take(Silence(3.1), 13.1)
    assert "SILENT for 4 s; treat every bag as UNKNOWN" in shown(board, mono_s=13.6)
    board.take(LaneState(state="READY"), 14.0)
    assert "READY" in shown(board, mono_s=14.0)


def test_board_names_verdicts_that_were_missed() -> None:
    board = Board("lane-7")
    board.take(LaneState(state="READY"), 1.0)
    board.take(Gap(4, 6, "not answered"), 1.0)
    assert "verdicts 4 to 6 were missed: not answered" in shown(board)


def test_board_keeps_a_bounded_number_of_bags() -> None:
    board = Board("lane-7")
    for number in range(500):
        board.take(BagNotice(bag_id=f"N{number}"), 0.0)
    text = shown(board)
    assert "N499" in text
    assert "N470" not in text
    assert len(board._rows) <= 50


class Speaker:
    """Publishes the same messages again and again, verdicts with numbers that go on, until it is told to stop."""

    def __init__(self, state_dir: Path, messages: list[tuple[str, Message]]) -> None:
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._speak, args=(state_dir, messages))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _speak(self, state_dir: Path, messages: list[tuple[str, Message]]) -> None:
        bus = Bus(state_dir / "run", "verdict")
        feed = Feed(bus, Now(0, 0))
        number = 0
        while not self._done.wait(0.05):
            for topic, message in messages:
                if isinstance(message, Verdict):
                    number += 1
                    message = message.model_copy(update={"seq": number, "t_ns": number})  # noqa: PLW2901
                feed.publish(topic, message, RUNNING)
        bus.close()


def test_watch_prints_json_lines_until_it_has_seen_enough(state_dir: Path, app: typer.Typer) -> None:
    messages: list[tuple[str, Message]] = [
        ("lane.state", LaneState(state="READY")),
        ("bag.verdict", verdict("A", ALARM)),
    ]
    with Speaker(state_dir, messages):
        done = CliRunner().invoke(app, ["watch", "--json", "--finals", "2", "--state-dir", str(state_dir)])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.output.splitlines()]
    finals = [line for line in lines if line["topic"] == "bag.verdict"]
    assert [line["decision"] for line in finals] == ["ALARM", "ALARM"]
    assert lines[-1]["topic"] == "bag.verdict"


def test_watch_shows_earlier_verdicts_and_new_ones(state_dir: Path, app: typer.Typer) -> None:
    fill(state_dir)
    with Speaker(state_dir, [("bag.verdict", verdict("D", ALARM))]):
        done = CliRunner().invoke(app, ["watch", "--finals", "1", "--state-dir", str(state_dir)])
    assert done.exit_code == 0, done.output
    for name in "ABD":
        assert f" {name} " in done.output


def test_verdicts_are_listed_in_order_with_supplements_and_bags_that_wait(state_dir: Path, app: typer.Typer) -> None:
    fill(state_dir)
    done = CliRunner().invoke(app, ["verdicts", "--state-dir", str(state_dir)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "2 final verdict(s)" in done.output
    assert "ALARM (supplements 2)" in done.output
    assert "1 bag(s) without a verdict yet: C" in done.output


def test_verdicts_as_json_are_whole_messages(state_dir: Path, app: typer.Typer) -> None:
    fill(state_dir)
    done = CliRunner().invoke(app, ["verdicts", "--json", "--newest", "2", "--state-dir", str(state_dir)])
    lines = [Verdict.model_validate_json(line) for line in done.output.splitlines()]
    assert [(v.seq, v.bag_id, v.final, v.supersedes) for v in lines] == [(2, "B", True, None), (3, "B", False, 2)]


def test_verdicts_without_a_journal_say_what_to_do(state_dir: Path, app: typer.Typer) -> None:
    done = CliRunner().invoke(app, ["verdicts", "--state-dir", str(state_dir)])
    assert done.exit_code == 1
    assert "name the state directory of a lane that has run" in done.output
