"""Every shipped fault scenario against a whole lane: no hang, no lost bag, the right reason, recovery."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.emulator.fault_script import shipped
from tests.hil.faults_run import GROUPS, Outcome, Played, play, report

pytestmark = [pytest.mark.hil, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def folders(calibrated: Path) -> Iterator[list[Path]]:
    """A calibrated state directory per group, with a short path (Unix sockets allow 107 bytes)."""
    made = [Path(f"/tmp/dl-faults-{os.getpid()}-{n}") for n in range(len(GROUPS))]
    for folder in made:
        shutil.copytree(calibrated / "calibration", folder / "calibration")
        (folder / "dev").mkdir()
        shutil.copy(calibrated / "dev" / "positions.json", folder / "dev")
    yield made
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def runs(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Played]:
    """One lane per group, each through all scenarios of its group; the times go into fault-scenarios.json."""
    played = [play(folder, names) for folder, names in zip(folders, GROUPS, strict=True)]
    path = tmp_path_factory.getbasetemp() / "fault-scenarios.json"
    path.write_text(json.dumps(report(played), indent=1), encoding="utf-8")
    return played


def of(runs: list[Played], name: str) -> Outcome:
    return next(run.outcomes[name] for run in runs if name in run.outcomes)


def test_every_shipped_scenario_is_played_once() -> None:
    assert sorted(name for group in GROUPS for name in group) == list(shipped())


@pytest.mark.parametrize("name", shipped())
def test_scenario(runs: list[Played], name: str) -> None:
    outcome = of(runs, name)
    script = outcome.script
    assert outcome.finals == (1,) * script.bags, "one final verdict per bag"
    expected = {item.bag: item.reasons for item in script.expect}
    for number, reason in enumerate(outcome.reasons, 1):
        assert reason in expected.get(number, (None,)), f"bag {number}: {reason}: {outcome.details[number - 1]}"
    assert outcome.good_s is not None, "the lane judges bags again"
    if script.state:
        assert script.state in outcome.states, f"the lane reported {outcome.states}"
        assert outcome.ready_s is not None, "and says so"


def test_the_lanes_lived_through_it(runs: list[Played]) -> None:
    for run in runs:
        assert run.complete
        assert set(run.restarts.values()) == {0}


def test_a_blocked_stage_fails_its_move_with_a_reason(runs: list[Played]) -> None:
    stopped, moved = next(run.replies["stage-stuck"] for run in runs if "stage-stuck" in run.replies)
    assert stopped.ok
    assert not moved.ok
    assert "m1_x" in moved.reason
