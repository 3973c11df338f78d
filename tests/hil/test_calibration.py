"""``darklane calibrate`` on a misaligned emulated scanner, once: killed on the way, gone on with, and judged.

The full routine is run; campaigns of many scanners, kills and faults are in tests/calibration/*_campaign.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from calibration.bundle import Bundle, load_active
from calibration.session import Session
from tests.calibration.campaign import calibrate, judge, write_config
from tests.calibration.kill_campaign import kill_in, passed

pytestmark = [pytest.mark.hil, pytest.mark.timeout(300)]
ROWS, SCALE, SEED = 64, 6.0, 21
KILLED_IN = "flat"


class Done(NamedTuple):
    """A run that was killed in one step and started again."""

    config: Path
    before: dict[str, tuple[int, int, int]]
    session: Session
    stdout: str
    said: dict[str, Any]
    active: Bundle


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    config = write_config(tmp_path_factory.mktemp("calibrate"), ROWS, SCALE)
    # Sixteen rows count few photons: here the steps are tested, not how well the phantom is met. Twice the current and
    # twice the speed of the belt give as many photons in half the frames.
    text = config.read_text(encoding="utf-8").replace("[scanner]", "[scanner]\ntube_ma = 2.0\nbelt_speed_mm_s = 23.4")
    config.write_text(text + "[calibration.limits]\nmax_outside = 20\nmax_bend = 0.1\n", encoding="utf-8")
    interrupted = kill_in(config, SEED, KILLED_IN, 0.0, "--full")
    before = passed(interrupted)
    finished = calibrate(config, SEED, "--full")
    assert finished.returncode == 0, finished.stderr
    active = load_active(config.parent / "lane" / "calibration")
    assert active is not None
    session = Session.open(interrupted.folder)
    return Done(config, before, session, finished.stdout, json.loads(finished.stdout), active)


def test_a_killed_run_goes_on_in_its_session_and_repeats_nothing_that_passed(done: Done) -> None:
    assert "working-point" in done.before
    assert done.session.finished
    after = passed(done.session)
    assert {step: after[step] for step in done.before} == done.before
    assert done.session.record.bundle_id == done.active.id


def test_it_ends_calibrated_and_the_parameters_of_the_scanner_are_recovered(done: Done) -> None:
    run = judge(done.config, SEED, done.stdout)
    assert run.good, run
    assert done.active.state(24, done.active.scanner_json) == "CALIBRATED"
    assert done.active.manifest.simulated


def test_the_full_routine_linearises_and_verifies(done: Done) -> None:
    assert done.said["verification"]["blocks"] == 20
    assert done.active.linearisation is not None
    assert done.active.references is not None
    assert "C4" in done.active.references.names
