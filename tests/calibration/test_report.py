"""The report of a calibration run: complete, self-contained, honest about what is missing."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("matplotlib", reason="install darklane[report]")

from calibration.report import write_report
from calibration.session import Session, StepRecord
from tests.calibration.session_scene import STEPS, arrays, record
from tests.calibration.synthetic import bundle


class Page(HTMLParser):
    """Counts images and headings and collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.images = 0
        self.headings: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.images += tag == "img"
        for key in ("src", "href"):
            target = given.get(key)
            if target and not target.startswith("data:"):
                self.fetched.append(target)
        if tag == "h2":
            self.headings.append("")


def report(session: Session, folder: Path) -> tuple[str, Page]:
    text = write_report(session, folder).read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    return text, page


def test_a_whole_run_has_a_plot_of_every_step_and_no_link(tmp_path: Path) -> None:
    session = Session.begin(tmp_path / "sessions", record())
    for name in STEPS:
        session.passed(name, {"bad_fraction": 0.001}, arrays(name))
    for created in (10**18, 10**18 + 10**13):
        bundle(created).store(tmp_path)
    text, page = report(session, tmp_path)
    assert page.fetched == []
    # All steps have one plot, curves two, the tray is drawn with the prior; and the history.
    assert page.images == len(STEPS) + 1 - 1 + 1
    assert "no plot" not in text
    assert "Simulated: recorded on the emulated scanner" in text
    assert "A &lt;b&gt;" in text
    assert "cal-0123456789abcdef" in text
    assert (session.folder / "report.pdf").read_bytes().startswith(b"%PDF")


def measured_before(step: str) -> Mapping[str, npt.NDArray[Any]]:
    """What ``step`` has when it fails: less than when it passes."""
    made: dict[str, Callable[[], Mapping[str, npt.NDArray[Any]]]] = {
        "dark": lambda: {"dark": np.random.default_rng(1).poisson(0.4, (2, 8, 128)) / 8},
        "beam": lambda: {"profile": np.zeros((2, 8, 128)), "current_ma": np.ones(1), "counts": np.zeros((2, 1))},
        "pixels": lambda: {"kinds": arrays("pixels")["kinds"]},
        "align": lambda: {"m1_x_positions": np.arange(5.0), "m1_x_visibility": np.ones(5)},
        "scan": lambda: arrays("pixels") | {key: arrays("curves")[key] for key in ("positions_um", "means")},
        "curves": lambda: {key: arrays("curves")[key] for key in ("positions_um", "means")},
        "working-point": lambda: arrays("working-point"),
        "flat": lambda: {"ratio": np.full((4, 2, 8), 1.07)},
        "tray": lambda: arrays("tray") | {"chi2": np.ones((2, 8))},
        "linearity": lambda: {k: v for k, v in arrays("linearity").items() if k not in ("coefficients", "limit")},
    }
    return made[step]()


@pytest.mark.parametrize(
    "step", ["dark", "beam", "pixels", "align", "scan", "curves", "working-point", "flat", "tray", "linearity"]
)
def test_a_failed_step_is_drawn_from_what_it_had_measured(step: str, tmp_path: Path) -> None:
    begun = record("pending")
    begun.steps = [StepRecord(step=step, title=f"step {step}")]
    session = Session.begin(tmp_path / "sessions", begun)
    session.failed(step, "too much of it", "See to it", measured_before(step))
    path = write_report(session, tmp_path, pdf=False)
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.images == (2 if step == "curves" else 1)
    assert "no plot" not in path.read_text(encoding="utf-8")


def test_a_broken_run_says_what_to_do_and_what_is_missing(tmp_path: Path) -> None:
    session = Session.begin(tmp_path / "sessions", record("pending"))
    session.passed("pixels", {}, arrays("pixels"))
    session.passed("beam", {}, {"wrong": arrays("pixels")["kinds"]})
    session.failed("align", "the visibility is 0.2", "Turn mask 1 about z")
    text, page = report(session, tmp_path)
    assert page.images == 1
    assert re.search(r"the visibility is 0\.2\. Turn mask 1 about z", text)
    assert "no plot: " in text
    assert "the calibration before stays active" in text
    assert "no earlier calibration" in text
