"""The simulated figures: samples behave as the paper's do, and the command writes what it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="install darklane[report]")

from calibration.linearity import bend, fit_linearisation, linearise
from training.figures import fig2, supplementary
from training.figures.static import stepped
from training.figures.wedge import REFERENCES, Wedge, lane, ratios, scan

SEED = 930_000
#: A part of the field is enough where moving and static scans are compared.
ROWS = 256


@pytest.fixture(scope="module")
def wedges() -> dict[str, Wedge]:
    on = lane(SEED)
    return {name: scan(on, name, SEED + k) for k, name in enumerate((*REFERENCES, "Semtex1H", "acrylic"))}


def test_linearised_ratios_of_attenuation_do_not_depend_on_thickness(wedges: dict[str, Wedge]) -> None:
    correction = fit_linearisation([wedges[name].steps for name in REFERENCES])
    test = wedges["Semtex1H"]
    corrected = linearise(correction, test.signals)
    assert bend(test.thickness_mm, corrected[0, 0], test.sem[0, 0]) < 0.01
    assert bend(test.thickness_mm, test.signals[0, 0], test.sem[0, 0]) > 0.015
    raw, _ = ratios(test.signals, test.sem)
    straight, _ = ratios(corrected, test.sem)
    assert np.ptp(straight[1][3:]) < 0.5 * np.ptp(raw[1][3:])


def test_acrylic_has_no_dark_field(wedges: dict[str, Wedge]) -> None:
    acrylic = wedges["acrylic"]
    assert np.abs(acrylic.signals[1] / acrylic.sem[1]).max() < 5
    assert np.abs(acrylic.signals[1]).max() < 3.0


@pytest.fixture(scope="module")
def static() -> Wedge:
    return stepped(lane(SEED, rows=ROWS), "Semtex1A", SEED + 5)


@pytest.mark.parametrize("speed_mm_s", supplementary.SPEEDS_MM_S)
def test_moving_and_static_scans_agree_whatever_the_speed(static: Wedge, speed_mm_s: float) -> None:
    moving = scan(lane(SEED, rows=ROWS, speed_mm_s=speed_mm_s), "Semtex1A", SEED + 5)
    for s, per_cent in ((0, 1.0), (1, 6.0)):
        slope = [(w.signals[s, 0] * w.thickness_mm).sum() / (w.thickness_mm**2).sum() for w in (static, moving)]
        assert slope[0] == pytest.approx(slope[1], rel=per_cent / 100)
    # Fifteen steps, two bins: no more than their noise apart, and on neither side of each other.
    for s in (0, 1):
        away = (moving.signals[s] - static.signals[s]) / np.hypot(moving.sem[s], static.sem[s])
        assert np.sqrt((away**2).mean(axis=-1)).max() < 2.0
        assert np.abs(away.mean(axis=-1)).max() < 1.5


def test_figures_are_written_and_say_that_they_are_simulated(wedges: dict[str, Wedge], tmp_path: Path) -> None:
    correction = fit_linearisation([wedges[name].steps for name in REFERENCES])
    some = [wedges[name] for name in ("Semtex1H", "paper")]
    fig2.panels_ab(some, tmp_path)
    fig2.panel_c(some, tmp_path)
    table = fig2.panel_d(some, tmp_path, correction)
    supplementary.figure_2(some, tmp_path)
    supplementary.figure_3(some, tmp_path, correction)
    for name in ("fig2ab", "fig2c", "fig2d", "supplementary2", "supplementary3"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert json.dumps(table)
    assert table["paper"]["R_ab"] > table["Semtex1H"]["R_ab"]
