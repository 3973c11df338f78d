"""Fault scenarios: what a file may say, and when its steps are played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.emulator.fault_player import FaultPlayer
from firmware_bridge.emulator.fault_script import (
    FaultScriptError,
    Script,
    check_bags,
    load,
    load_all,
    parse,
    shipped,
)
from firmware_bridge.emulator.rig import catalogue

CATALOGUE = {"belt": ("unplug", "estop"), "m1_x": ("stuck",)}
STEP = '[[step]]\nat = {bag = 1, mm = 10}\ndevice = "belt"\nfault = "unplug"\n'


def script(text: str, name: str = "trial") -> Script:
    return parse(f'title = "a trial"\n{text}', name, CATALOGUE)


def test_every_shipped_scenario_is_valid_and_has_a_name_of_its_own() -> None:
    scripts = load_all(",".join(shipped()), catalogue())
    assert len(scripts) >= 10
    assert [s.name for s in scripts] == list(shipped())
    assert len({s.title for s in scripts}) == len(scripts)


def test_the_page_names_every_device_and_every_fault() -> None:
    page = (Path(__file__).parents[2] / "docs/reference/emulated-scanner.md").read_text(encoding="utf-8")
    known = catalogue()
    assert not [name for name in known if f"`{name}`" not in page]
    assert not [fault for faults in known.values() for fault in faults if f"`{fault}`" not in page]


def test_a_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "Mine.toml"
    path.write_text('title = "mine"\n' + STEP)
    assert load(str(path), CATALOGUE).name == "mine"
    with pytest.raises(FaultScriptError, match=r"gone\.toml: cannot be read .*give an existing TOML file"):
        load(str(tmp_path / "gone.toml"), CATALOGUE)


def test_an_unknown_name_lists_what_is_shipped() -> None:
    with pytest.raises(FaultScriptError, match=rf"'meteorite' are not shipped.*{shipped()[0]}, {shipped()[1]}"):
        load("meteorite", CATALOGUE)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", r"step = .*: Field required"),
        ("bags = 0\n" + STEP, r"bags = 0"),
        ('colour = "red"\n' + STEP, r"colour = 'red'"),
        (STEP.replace("bag = 1, mm = 10", "bag = 1"), r"step\.0\.at = .*give either bag and mm, or s"),
        (STEP.replace("bag = 1, mm = 10", "bag = 1, mm = 1, s = 2"), r"step\.0\.at = .*give either"),
        (STEP.replace("mm = 10", "mm = nan"), r"step\.0\.at = .*finite"),
        (STEP.replace("bag = 1", "bag = 3"), r"step names bag 3, but bags = 2"),
        (STEP + "for_s = -1\n", r"step\.0\.for_s = -1"),
        (STEP.replace('"belt"', '"toaster"'), r"step\.0\.device = 'toaster': the devices are belt, m1_x"),
        (STEP.replace('"unplug"', '"stuck"'), r"step\.0\.fault = 'stuck': belt can have unplug, estop"),
        ("[[step]\n", r"not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(FaultScriptError, match=r"faults trial: " + words):
        script(text)


def test_scenarios_need_enough_bags() -> None:
    scripts = [script("bags = 3\n" + STEP, "one"), script(STEP, "two")]
    check_bags(scripts, 5)
    with pytest.raises(FaultScriptError, match="one, two: take 5 bags, the plan has 4"):
        check_bags(scripts, 4)


class Played:
    """A player whose faults are only written down."""

    def __init__(self, folder: Path, *scripts: Script) -> None:
        self.log = folder / "faults.jsonl"
        self.done: list[tuple[str, str, float]] = []
        self.player = FaultPlayer(scripts, lambda *what: self.done.append(what), self.log)

    def at(self, travel_mm: float, now_s: float) -> list[tuple[str, str, float]]:
        before = len(self.done)
        self.player.step(travel_mm * 1e3, now_s, round(now_s * 1e9))
        return self.done[before:]

    def active(self) -> bool:
        return self.player.active


def test_a_step_begins_at_its_place_on_its_bag_and_is_healed_in_time(tmp_path: Path) -> None:
    played = Played(tmp_path, script(STEP.replace("bag = 1", "bag = 2") + "for_s = 2.0\nvalue = 0.5\n"))
    played.player.placed(100e3, 0.0)
    assert played.at(500.0, 1.0) == []
    played.player.placed(600e3, 1.0)
    assert played.at(609.0, 2.0) == []
    assert not played.active()
    assert played.at(610.0, 3.0) == [("belt", "unplug", 0.5)]
    assert played.active()
    assert played.at(700.0, 4.9) == []
    assert played.at(700.0, 5.0) == [("belt", "unplug", 0.0)]
    assert not played.active()
    lines = [json.loads(line) for line in played.log.read_text().splitlines()]
    assert [(line["scenario"], line["state"], line["t_ns"]) for line in lines] == [
        ("trial", "begin", 3_000_000_000),
        ("trial", "end", 5_000_000_000),
    ]


def test_seconds_count_from_the_first_bag_of_the_scenario_and_bags_from_the_one_before(tmp_path: Path) -> None:
    timed = script('[[step]]\nat = {s = 1.5}\ndevice = "m1_x"\nfault = "stuck"\n', "timed")
    played = Played(tmp_path, script(STEP, "first"), timed)
    played.player.placed(0.0, 0.0)
    assert played.at(10.0, 9.0) == [("belt", "unplug", 1.0)]
    played.player.placed(100e3, 9.0)
    assert played.at(150.0, 99.0) == []
    played.player.placed(200e3, 100.0)
    assert played.at(150.0, 101.4) == []
    assert played.at(150.0, 101.5) == [("m1_x", "stuck", 1.0)]
    assert not played.active(), "a fault without an end holds nothing up"


def test_bags_wait_until_the_fault_is_over_and_a_little_longer(tmp_path: Path) -> None:
    played = Played(tmp_path, script("pause_s = 3.0\n" + STEP + "for_s = 2.0\n"), script(STEP, "later"))
    assert not played.player.holds(0.0)
    played.player.placed(0.0, 0.0)
    assert played.player.holds(0.0)
    played.at(10.0, 1.0)
    played.at(50.0, 3.0)
    assert played.player.holds(5.9)
    assert not played.player.holds(6.0)
    played.player.placed(100e3, 6.0)
    assert not played.player.holds(6.0)
    played.player.placed(200e3, 6.0)
    assert played.player.holds(6.0), "the next scenario begins"


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0, 3)), max_size=40))
def test_whatever_time_does_a_step_is_played_once(
    tmp_path_factory: pytest.TempPathFactory, ticks: list[tuple[float, float]]
) -> None:
    played = Played(tmp_path_factory.mktemp("play"), script(STEP + "for_s = 1.0\n"))
    played.player.placed(0.0, 0.0)
    travel = now = 0.0
    for mm, seconds in ticks:
        travel, now = travel + mm, now + seconds
        played.at(travel, now)
    assert played.done == [("belt", "unplug", 1.0), ("belt", "unplug", 0.0)][: len(played.done)]
    assert bool(played.done) == (bool(ticks) and travel >= 10.0)
