"""``darklane calibrate`` on misaligned emulated scanners: the campaign of docs/how-to/calibrate.md, two runs of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calibration.bundle import load_active
from tests.calibration.campaign import calibrate, judge, write_config

pytestmark = [pytest.mark.hil, pytest.mark.timeout(180)]
ROWS, SCALE = 64, 4.0


def test_a_misaligned_scanner_ends_calibrated_and_its_parameters_are_recovered(tmp_path: Path) -> None:
    config = write_config(tmp_path, ROWS, SCALE)
    done = calibrate(config, 21)
    assert done.returncode == 0, done.stderr
    run = judge(config, 21, done.stdout)
    assert run.good, run
    active = load_active(tmp_path / "lane" / "calibration")
    assert active is not None
    assert active.state(24, active.scanner_json) == "CALIBRATED"
    assert active.manifest.simulated


def test_the_full_routine_linearises_and_verifies(tmp_path: Path) -> None:
    config = write_config(tmp_path, ROWS, SCALE)
    # Sixteen rows count few photons: here the steps are tested, not how well the phantom is met.
    with config.open("a", encoding="utf-8") as file:
        file.write("[calibration.limits]\nmax_outside = 20\nmax_bend = 0.1\n")
    done = calibrate(config, 22, "--full")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["verification"]["blocks"] == 20
    active = load_active(tmp_path / "lane" / "calibration")
    assert active is not None
    assert active.linearisation is not None
    assert active.references is not None
    assert "C4" in active.references.names
