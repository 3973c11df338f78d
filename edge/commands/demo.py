"""``darklane demo``: eight simulated bags through the real lane, truth against verdict at the end."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.commands import options
from edge.commands.options import ConfigOption, configuration, fail
from edge.config import Config
from edge.emulated import EmulatedScanner, EmulatorError
from edge.lane import Lane, LaneError, LaneRun
from edge.lane_view import COLOURS, follow
from edge.messages import Verdict
from edge.readout.window import BagWindow, Geometry

#: A state directory with this file holds nothing but a demo's results and may be emptied by the next demo.
DEMO_MARK = "only-a-demo"

#: The belt's steps vary with the frame clock; so large a part of the frames may be missing by counting alone.
UNSEEN_TOLERANCE = 0.005


def demo(
    config: ConfigOption = None,
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", help="Emptied first if it is an earlier demo's.", show_default="lane-run"),
    ] = None,
    plan: Annotated[str, typer.Option("--plan", help="A shipped plan's name or a JSON file.")] = "demo",
) -> None:
    """Calibrate an emulated scanner, scan its bags, print truth against verdict.

    Exit code 0 only if every bag got exactly one final verdict and no frame was lost unseen. X-rays and bags are
    simulated; packets, services, calibration, retrieval and verdicts are the real ones.
    """
    console = options.console()
    settings = configuration(config, state_dir)
    _empty(settings.state_dir)
    started = time.monotonic()

    def say(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True, markup=False)

    try:
        with Lane(settings, emulate=True, plan=plan, say=say) as lane:
            follow(lane, console)
            scanner = lane.scanner
            assert scanner is not None
            problems = check(lane.result, scanner.bags(), settings)
            summary(lane.result, scanner, console)
    except (LaneError, EmulatorError, RuntimeError, ValueError) as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        fail("interrupted", 130)
    _where(settings.state_dir, say)
    say(f"{time.monotonic() - started:.0f} s in all")
    if problems:
        fail("; ".join(problems), 1)


def _empty(state_dir: Path) -> None:
    """Remove an earlier demo and mark the folder as one; the data of a real lane are left alone."""
    if state_dir.exists():
        if not (state_dir / DEMO_MARK).is_file():
            fail(f"{state_dir} exists and is not only a demo's; name another folder with --state-dir, or remove it")
        shutil.rmtree(state_dir)
    state_dir.mkdir(parents=True)
    (state_dir / DEMO_MARK).touch()


def check(result: LaneRun, bags: list[dict[str, Any]], config: Config) -> list[str]:
    """What went wrong with the lane itself: bags without exactly one final verdict, frames lost unseen.

    How many frames a bag must have had follows from the belt alone: travel across its window over the step.
    """
    problems = []
    if len(result.entered) != len(bags):
        problems.append(f"{len(bags)} bags passed, but the lane saw {len(result.entered)}")
    for bag_id in result.entered:
        finals = sum(v.final for v in result.verdicts.get(bag_id, []))
        if finals != 1:
            problems.append(f"{bag_id} has {finals} final verdicts")
    for bag in bags:
        verdict = _final(result, bag)
        if verdict is None:
            problems.append(f"{bag['tag']} has no verdict")
            continue
        window = BagWindow(Geometry.of(config), verdict.bag_id, 0, 0.0)
        window.trailing_um = window.leading_um + bag["u_to_um"] - bag["u_from_um"]
        expected = (window.last_travel_um - window.first_travel_um) / config.scanner.step_um
        unseen = expected - verdict.frames - verdict.lost_frames
        if unseen > max(2.0, UNSEEN_TOLERANCE * expected):
            problems.append(
                f"{verdict.bag_id}: {unseen:.0f} of {expected:.0f} frames are missing and not counted as lost"
            )
    return problems


def _final(result: LaneRun, bag: dict[str, Any]) -> Verdict | None:
    """The final verdict of the bag that carries this truth's tag."""
    for verdicts in result.verdicts.values():
        for verdict in verdicts:
            if verdict.final and verdict.bag_tag == bag["tag"]:
                return verdict
    return None


def summary(result: LaneRun, scanner: EmulatedScanner, console: Console) -> None:
    """Print truth against verdict, one row per bag."""
    table = Table(title="Simulated bags: truth against verdict")
    for heading in ("bag", "kind", "truth", "verdict", "score", "found", "frames", "lost", "latency"):
        table.add_column(heading, no_wrap=True)
    right = 0
    for bag in scanner.bags():
        target = bag.get("target") or None
        truth = f"{target['material']} {target['path_mm']:.0f} mm" if target else "no threat"
        verdict = _final(result, bag)
        if verdict is None:
            table.add_row(bag["tag"], bag["kind"], truth, "[red]none[/]", "", "", "", "", "")
            continue
        right += verdict.decision.value == ("ALARM" if target else "CLEAR")
        colour = COLOURS[verdict.decision]
        reason = f" {verdict.reason.value}" if verdict.reason else ""
        latency = f"{verdict.latency_ms / 1e3:.2f} s" if verdict.latency_ms is not None else ""
        row = (
            bag["tag"], bag["kind"], truth, f"[{colour}]{verdict.decision.value}[/]{reason}", f"{verdict.score:.2f}",
            _best(verdict), str(verdict.frames), str(verdict.lost_frames), latency,
        )  # fmt: skip
        table.add_row(*row)
    console.print(table)
    console.print(f"{right} of {len(scanner.bags())} verdicts agree with the truth (simulated bags)", highlight=False)


def _best(verdict: Verdict) -> str:
    threats = [o for o in verdict.objects if o.category == "explosive" and o.candidates]
    if not threats:
        return ""
    best = max(threats, key=lambda o: o.probability).candidates[0]
    return f"{best.material} {best.probability:.0%}"


def _where(state_dir: Path, say: Callable[[str], None]) -> None:
    say(f"journal   {state_dir / 'journal.sqlite'}  (darklane verdicts --state-dir {state_dir})")
    archive = state_dir / "archive"
    files, sheets = len(list(archive.glob("*.h5"))), len(list(archive.glob("*.png")))
    say(f"archive   {archive}  ({files} HDF5 files, {sheets} PNG sheets)")
    say(f"logs      {state_dir / 'log'}")
