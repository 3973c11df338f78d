"""``python -m tests.hil.faults_report``: plays all scenarios, writes the table of docs/reference/fault-scenarios.md."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.lane import Lane
from tests.hil.faults_run import GROUPS, Outcome, Played, configuration, play, report

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "fault-scenarios.md"
BEGIN, END = "<!-- table: written by tests.hil.faults_report -->", "<!-- end of the table -->"
HEAD: Final = (
    "| scenario | what happens | lane meanwhile | the bag it hit | scans again after | next good verdict after |",
    "|---|---|---|---|---|---|",
)


def row(outcome: Outcome) -> str:
    """One line of the table."""
    script = outcome.script
    hit = next((reason for reason in outcome.reasons if reason is not None), None)
    verdict = "judged as usual" if hit is None else f"UNKNOWN / {hit}"
    states = ", ".join(outcome.states) or "scans on"
    cells = (f"`{script.name}`", script.title, states, verdict, _seconds(outcome.ready_s), _seconds(outcome.good_s))
    return f"| {' | '.join(cells)} |"


def page_with(text: str, rows: Sequence[str]) -> str:
    """The page with its table replaced; ValueError when it has no marks."""
    before, mark, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{PAGE}: the marks {BEGIN!r} and {END!r} are missing; put them where the table belongs")
    busy = f"Measured on {os.cpu_count()} cores with a load average of {os.getloadavg()[1]:.1f}."
    return "\n".join([before + mark, "", *HEAD, *rows, "", busy, "", end + after])


def run_all() -> list[Played]:
    """Calibrate once, then one lane per group."""
    played = []
    with tempfile.TemporaryDirectory(prefix="dl-faults-") as name:
        calibrated = Path(name) / "cal"
        calibrated.mkdir()
        plan = calibrated / "plan.json"
        plan.write_text(json.dumps({"items": []}), encoding="utf-8")
        with Lane(configuration(calibrated), emulate=True, plan=str(plan), say=print):
            pass
        for number, group in enumerate(GROUPS):
            folder = Path(name) / str(number)
            shutil.copytree(calibrated / "calibration", folder / "calibration")
            (folder / "dev").mkdir()
            shutil.copy(calibrated / "dev" / "positions.json", folder / "dev")
            played.append(play(folder, group))
    return played


def main() -> int:
    """0: the page was written. 1: a bag got another verdict than its scenario expects; nothing is written."""
    parser = argparse.ArgumentParser(prog="python -m tests.hil.faults_report", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write what was measured as JSON")
    args = parser.parse_args()
    played = run_all()
    if args.json is not None:
        args.json.write_text(json.dumps(report(played), indent=1), encoding="utf-8")
    outcomes = sorted((o for run in played for o in run.outcomes.values()), key=lambda o: o.script.name)
    wrong = [outcome for outcome in outcomes if not outcome.as_expected]
    for outcome in wrong:
        sys.stderr.write(f"{outcome.script.name}: {outcome.line()}\n")
    if wrong:
        return 1
    text = page_with(PAGE.read_text(encoding="utf-8"), [row(outcome) for outcome in outcomes])
    PAGE.write_text(text, encoding="utf-8")
    seconds = sum(run.seconds for run in played)
    sys.stdout.write(f"{len(outcomes)} scenarios in {seconds:.0f} s on {os.cpu_count()} cores; {PAGE} is written\n")
    return 0


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
