"""The report of a calibration run: complete, self-contained, honest about what is missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("matplotlib", reason="install darklane[report]")

from calibration.report import write_report
from calibration.session import Session
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
