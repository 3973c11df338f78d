"""The routine on a scripted scanner: what a good run measures, how each broken scanner stops it, and going on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kernels
from calibration import sequence
from calibration.bundle import Bundle, load_active
from calibration.routine import resumable
from calibration.session import Session, newest
from calibration.steps import STEPS, CalibrationError, Limits, Report, Settings
from firmware_bridge.scanner import Scanner
from tests.calibration.scripted import _STEPS, TRAY, ScriptedScanner
from tests.calibration.synthetic import EXPONENT, SCANNER, X0_UM, bundle, true_curves

QUICK = Settings(
    dark_frames=12, pixel_frames=80, scan_positions=21, frames_per_position=12, flat_frames=400, tray_timeout_s=30.0
)


def run(
    scanner: ScriptedScanner,
    folder: Path,
    reports: list[Report] | None = None,
    limits: Limits | None = None,
    **changes: Any,
) -> Bundle:
    settings = Settings(**(QUICK.__dict__ | changes))
    seen: list[Report] = [] if reports is None else reports
    session = sequence.session_for(folder, scanner.scanner, settings=settings, limits=limits)
    return sequence.calibrate(
        scanner.devices(), scanner.scanner, session, seen.append, settings=settings, limits=limits, tray=TRAY
    )


Good = tuple[Bundle, list[Report], ScriptedScanner, Session]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    reports: list[Report] = []
    scanner = ScriptedScanner(shift_um=22.0, rotation_mrad=1.5)
    folder = tmp_path_factory.mktemp("calibration")
    made = run(scanner, folder, reports)
    session = newest(folder / sequence.SESSIONS)
    assert session is not None
    return made, reports, scanner, session


def test_curves_are_those_of_the_scanner(good: Good) -> None:
    made, truth = good[0], true_curves()
    # Levelled: a straight line over the rows was taken out, which the bent mask has of its own.
    moved = (made.curves.centre - truth.centre).mean(axis=(0, 2))
    rows = np.arange(SCANNER.rows)
    assert np.abs(moved - np.polyval(np.polyfit(rows, moved, 1), rows)).max() < 0.3
    assert np.abs(made.curves.width - truth.width).mean() < 0.3


def test_alignment_finds_place_and_rotation(good: Good) -> None:
    _, _, scanner, session = good
    found = session.step("align").values
    assert found["m1_rot_z_mrad"] == pytest.approx(scanner.places["m1_rot_z"])
    # The bent mask adds a slope of its own; what counts is that the phase is level.
    assert abs(found["left_rotation_mrad"]) < Limits().max_rotation_mrad
    assert found["m1_x_um"] == pytest.approx(-22.0, abs=2.0)
    assert scanner.x_um == pytest.approx(found["m1_x_um"] + X0_UM)


def test_flat_and_pixel_mask(good: Good) -> None:
    made, _, _, session = good
    assert set(zip(*np.nonzero(made.good_pixels[0] == 0), strict=True)) == {(2, 40), (5, 77)}
    np.testing.assert_array_equal(made.good_pixels[0], made.good_pixels[1])
    kinds = session.arrays("pixels")["kinds"]
    assert (int(kinds[2, 40]), int(kinds[5, 77])) == (1, 2)
    assert made.flat.shape == (2, SCANNER.rows, 128)
    assert made.working_point_um == X0_UM


def test_prior_predicts_the_offset(good: Good) -> None:
    t = np.asarray(_STEPS).T
    expected = t ** EXPONENT[:, None]
    np.testing.assert_allclose(kernels.predict_offset(good[0].prior, t), expected, atol=0.05)


def test_every_step_reports_and_the_belt_stops(good: Good) -> None:
    _, reports, scanner, session = good
    passed = [report.step for report in reports if report.fraction == 1]
    assert passed == list(STEPS)
    assert all(0 <= report.fraction <= 1 for report in reports)
    assert not scanner.running
    assert scanner.starts == 1
    assert json.dumps([report.values for report in reports])
    assert session.finished
    assert all(step.found for step in session.record.steps)


def test_bundle_is_usable_and_names_its_scanner(good: Good, tmp_path: Path) -> None:
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
    "detector silent": ({"silent_after": 300}, "align", "no frame from the detector for 3 s.*Check detector power"),
    "noise above the threshold": ({"noise_counts": 0.3}, "dark", "tube off.*threshold"),
    "tube off": ({"tube": 0.0}, "beam", "Switch the tube on"),
    "wrong voltage": ({"kv": 70.0}, "beam", "gives 70.0 kV, the configuration says 80 kV"),
    "counts pile up": ({"pile_up": 0.2}, "beam", "proportional to the tube current"),
    "tube too weak": ({"tube": 0.01}, "beam", "proportional to the tube current"),
    "mask stuck or missing": ({"stuck_mask": True}, "align", "does not move with its axis, or is missing"),
    "axis does not arrive": ({"blind_axis": True}, "align", "stands at .*motion controller"),
    "axis at its end": ({"rotation_mrad": 25.0}, "align", "would have to go to .*by hand"),
    "half the pixels dead": ({"dead_fraction": 0.5}, "pixels", "% of the pixels.*serviced"),
    "belt does not stop": ({"running": True, "belt_runs_on": True}, "beam", "belt moves"),
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
        run(scanner, tmp_path).save(tmp_path)
    assert caught.value.step == step
    assert not scanner.running or scanner.belt_runs_on
    active = load_active(tmp_path)
    assert active is not None
    assert active.id == old.id
    session = newest(tmp_path / sequence.SESSIONS)
    assert session is not None
    assert (session.step(step).state, session.step(step).found) == ("failed", caught.value.found)


def test_a_tube_that_drops_before_the_flat_is_noticed(tmp_path: Path) -> None:
    scanner = ScriptedScanner()
    taken = ScriptedScanner()
    run(taken, tmp_path / "first")
    scanner.tube_drops_after_moves = taken.moves - 1
    with pytest.raises(CalibrationError, match=r"off the curves.*warm up") as caught:
        run(scanner, tmp_path / "second")
    assert caught.value.step == "flat"


def test_a_singular_working_point_is_refused_and_a_better_one_named(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"close to singular.*working_point_um = -?\d") as caught:
        run(ScriptedScanner(), tmp_path, working_point_um=4.0)
    assert caught.value.step == "working-point"


def test_frames_of_another_size_are_refused(tmp_path: Path) -> None:
    scanner = ScriptedScanner()
    scanner.scanner, other = Scanner(native_rows=64), SCANNER
    devices = ScriptedScanner(other).devices()
    session = sequence.session_for(tmp_path, scanner.scanner, settings=QUICK)
    with pytest.raises(CalibrationError, match=r"scanner\.native_rows"):
        sequence.calibrate(devices, scanner.scanner, session, lambda report: None, settings=QUICK, tray=TRAY)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("step", list(STEPS))
def test_a_killed_run_goes_on_and_repeats_nothing_that_passed(step: str, tmp_path: Path, good: Good) -> None:
    scanner = ScriptedScanner(shift_um=22.0, rotation_mrad=1.5)
    settings = QUICK
    session = sequence.session_for(tmp_path, SCANNER, settings=settings)

    def kill(report: Report) -> None:
        if report.step == step:
            raise Killed

    with pytest.raises(Killed):
        sequence.calibrate(scanner.devices(), SCANNER, session, kill, settings=settings, tray=TRAY)
    before = {s.step: s.ended_ns for s in session.record.steps if s.state == "passed"}
    assert list(before) == list(STEPS)[: list(STEPS).index(step)]
    again = sequence.session_for(tmp_path, SCANNER, settings=settings)
    assert again.folder == session.folder
    sequence.calibrate(scanner.devices(), SCANNER, again, lambda report: None, settings=settings, tray=TRAY)
    assert again.finished
    assert {s.step: s.ended_ns for s in again.record.steps if s.step in before} == before
    assert scanner.starts == 1


def test_what_is_not_gone_on_with(good: Good, tmp_path: Path) -> None:
    session = sequence.session_for(tmp_path, SCANNER)
    now = session.record.started_ns
    assert resumable(session, SCANNER, Settings(), Limits(), now)
    assert not resumable(session, SCANNER, Settings(), Limits(), now + 2 * 3_600 * 10**9)
    assert not resumable(session, Scanner(native_rows=64), Settings(), Limits(), now)
    assert not resumable(session, SCANNER, Settings(flat_frames=5), Limits(), now)
    assert not resumable(session, SCANNER, Settings(), Limits(max_bad_pixels=0.5), now)
    assert sequence.session_for(tmp_path, SCANNER).folder == session.folder
    assert sequence.session_for(tmp_path, SCANNER, fresh=True).folder != session.folder
    session.record.bundle_id = "cal-0"
    assert not resumable(session, SCANNER, Settings(), Limits(), now)


def test_plates_at_rest_under_a_stepped_mask_are_those_of_the_moving_scan(tmp_path: Path) -> None:
    scanner = ScriptedScanner(second_tray=True)
    settings = Settings(**(QUICK.__dict__ | {"stepped_frames": 60, "stepped_stops": 2}))
    steps = sequence.steps_of(stepped=True)
    session = sequence.session_for(tmp_path, SCANNER, steps=steps, settings=settings)

    def calibrate() -> Bundle:
        return sequence.calibrate(
            scanner.devices(), SCANNER, session, lambda report: None, steps=steps, settings=settings, tray=TRAY
        )

    made = calibrate()
    found = session.step("stepped").values
    assert found["plates"] >= 2
    assert found["over_limit"] < 1
    assert found["t_difference"] < 0.03
    assert scanner.x_um == pytest.approx(session.step("align").values["m1_x_um"] + X0_UM)
    assert [step.step for step in made.manifest.steps][-1] == "stepped"
    # Another moving scan than this one: the step stops and keeps what it saw for the report.
    tray = session.arrays("tray")
    session.passed("tray", session.step("tray").values, tray | {"t": np.multiply(1.1, tray["t"])})
    session.step("stepped").state = "pending"
    scanner.second_tray = True
    with pytest.raises(CalibrationError, match=r"at rest has t = .* the moving scan") as caught:
        calibrate()
    assert caught.value.step == "stepped"
    assert session.arrays("stepped")["t"].shape[0] == 2
