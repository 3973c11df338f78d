"""The first calibration on a scripted scanner: what a good one measures, and how each broken one stops it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernels
from calibration.bundle import Bundle, load_active
from calibration.first import calibrate
from calibration.steps import STEPS, CalibrationError, Limits, Report, Settings
from firmware_bridge.scanner import Scanner
from tests.calibration.scripted import _STEPS, TRAY, ScriptedScanner
from tests.calibration.synthetic import EXPONENT, SCANNER, X0_UM, bundle, true_curves

QUICK = Settings(scan_positions=21, frames_per_position=12, flat_frames=150, tray_timeout_s=30.0)


def run(scanner: ScriptedScanner, reports: list[Report] | None = None, **changes: Any) -> Bundle:
    settings = Settings(**(QUICK.__dict__ | changes))
    seen: list[Report] = [] if reports is None else reports
    return calibrate(scanner, scanner, scanner, scanner.scanner, seen.append, settings=settings, tray=TRAY)


@pytest.fixture(scope="module")
def good() -> tuple[Bundle, list[Report], ScriptedScanner]:
    reports: list[Report] = []
    scanner = ScriptedScanner()
    return run(scanner, reports), reports, scanner


def test_curves_are_those_of_the_scanner(good: tuple[Bundle, list[Report], ScriptedScanner]) -> None:
    made, truth = good[0], true_curves()
    assert np.abs(made.curves.centre - truth.centre).mean() < 0.25
    assert np.abs(made.curves.width - truth.width).mean() < 0.3
    modelled = kernels.flat_model(made.curves, X0_UM, "full")
    np.testing.assert_allclose(modelled, kernels.flat_model(truth, X0_UM, "full"), rtol=0.06)


def test_flat_and_pixel_mask(good: tuple[Bundle, list[Report], ScriptedScanner]) -> None:
    made, _, scanner = good
    assert set(zip(*np.nonzero(made.good_pixels[0] == 0), strict=True)) == {(2, 40), (5, 77)}
    np.testing.assert_array_equal(made.good_pixels[0], made.good_pixels[1])
    assert made.flat.shape == (2, SCANNER.rows, 128)
    assert made.working_point_um == X0_UM
    assert scanner.x_um == X0_UM


def test_prior_predicts_the_offset(good: tuple[Bundle, list[Report], ScriptedScanner]) -> None:
    t = np.asarray(_STEPS).T
    expected = t ** EXPONENT[:, None]
    np.testing.assert_allclose(kernels.predict_offset(good[0].prior, t), expected, atol=0.02)


def test_every_step_reports_and_the_belt_stops(good: tuple[Bundle, list[Report], ScriptedScanner]) -> None:
    _, reports, scanner = good
    passed = [report.step for report in reports if report.fraction == 1]
    assert passed == list(STEPS)
    assert all(0 <= report.fraction <= 1 for report in reports)
    assert not scanner.running
    assert scanner.starts == 1
    assert json.dumps([report.values for report in reports])


def test_bundle_is_usable_and_names_its_scanner(
    good: tuple[Bundle, list[Report], ScriptedScanner], tmp_path: Path
) -> None:
    made = good[0]
    made.save(tmp_path)
    active = load_active(tmp_path)
    assert active is not None
    assert active.id == made.id
    assert active.state(24, SCANNER.model_dump_json()) == "CALIBRATED"
    manifest = active.manifest
    assert [step.step for step in manifest.steps] == list(STEPS)
    assert manifest.thresholds_ev == (20_000, 40_000)
    assert manifest.limits["max_bad_pixels"] == Limits().max_bad_pixels


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "detector silent": ({"silent_after": 100}, "scan", "no frame from the detector for 3 s.*Check detector power"),
    "tube off": ({"tube": 0.0}, "beam", "Switch the tube on"),
    "tube too weak": ({"tube": 0.01}, "curves", "counts per frame.*tube current"),
    "mask stuck": ({"stuck_mask": True}, "curves", "does not move"),
    "axis does not arrive": ({"blind_axis": True}, "scan", "stands at .*motion controller"),
    "mask misaligned": ({"shift_um": 22.0}, "curves", "Align the sample mask"),
    "half the pixels dead": ({"dead_fraction": 0.3}, "pixels", "% of the pixels.*serviced"),
    "belt does not stop": ({"running": True, "belt_runs_on": True}, "beam", "belt moves"),
    "tube drops before the flat": (
        {"tube_drops_after_moves": QUICK.scan_positions + 1},
        "flat",
        "off the curves.*warm up",
    ),
    "belt stands still": ({"belt_dead": True}, "tray", "stands still"),
    "no tray": ({"tray_waits": False}, "tray", "Put the reference tray on the belt"),
    "something else on the belt": ({"tray_mm": 50.0}, "tray", "50 mm long; the reference tray is"),
    "grain in the tray": ({"grain_um2": 400.0}, "tray", "not uniform"),
    "frames lost": ({"loses_frames": True}, "tray", "frames were lost"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_scanner_stops_with_a_sentence_and_the_old_calibration_stays(name: str, tmp_path: Path) -> None:
    changes, step, sentence = BROKEN[name]
    old = bundle()
    old.save(tmp_path)
    scanner = ScriptedScanner(**changes)
    with pytest.raises(CalibrationError, match=sentence) as caught:
        run(scanner).save(tmp_path)
    assert caught.value.step == step
    assert not scanner.running or scanner.belt_runs_on
    active = load_active(tmp_path)
    assert active is not None
    assert active.id == old.id


def test_a_singular_working_point_is_refused_and_a_better_one_named() -> None:
    with pytest.raises(CalibrationError, match=r"close to singular.*working_point_um = -?\d") as caught:
        run(ScriptedScanner(), working_point_um=4.0)
    assert caught.value.step == "working-point"


def test_frames_of_another_size_are_refused() -> None:
    scanner = ScriptedScanner()
    other = Scanner(native_rows=64)
    with pytest.raises(CalibrationError, match=r"scanner\.native_rows"):
        calibrate(scanner, scanner, scanner, other, lambda report: None, settings=QUICK, tray=TRAY)
