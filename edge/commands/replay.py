"""``darklane replay``: an archived bag through the same services again, its two verdicts side by side."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from edge.archive.layout import SHEET_SUFFIX
from edge.archive.reader import BagFile, BagFileError
from edge.archive.replay_lane import ReplayLane
from edge.archive.replay_settings import ReplayError
from edge.commands import options
from edge.commands.options import JsonOption, error_console, fail
from edge.messages import Verdict


def replay(
    bag: Annotated[Path, typer.Argument(help="A bag's HDF5 file, from <state_dir>/archive.", metavar="BAG.h5")],
    state_dir: Annotated[
        Path | None,
        typer.Option("--state-dir", help="New or empty folder for the replay.", show_default="temporary, kept"),
    ] = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", help="Bundle or folder of bundles.", show_default="'calibration' of the archive"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send an archived bag through retrieval, inference, verdict and archive again and compare the verdicts.

    Starts the services as on the lane, in a fresh state directory, with the bag's own settings and calibration.
    Exit code 0 when the decision is the same, 1 when it differs, 2 when the bag cannot be replayed.
    """
    folder = _empty_folder(state_dir)
    # Progress goes to stderr, so that --json leaves nothing but JSON on stdout.
    try:
        with BagFile(bag) as archived, ReplayLane(archived, folder, calibration, error_console.print) as lane:
            error_console.print(f"replaying bag {archived.bag_id} in {folder}", highlight=False, soft_wrap=True)
            replayed = lane.run()
            archive_file = lane.archive_file
            before = archived.verdict
    except (BagFileError, ReplayError, ValueError) as error:
        fail(str(error))
    same = before is not None and before.decision is replayed.decision
    sheet = archive_file.with_suffix(SHEET_SUFFIX)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "bag_id": replayed.bag_id,
                    "same_decision": same,
                    "archived": before.model_dump(mode="json") if before else None,
                    "replayed": replayed.model_dump(mode="json"),
                    "state_dir": str(folder),
                    "archive_file": str(archive_file) if archive_file.is_file() else None,
                    "sheet": str(sheet) if sheet.is_file() else None,
                },
                indent=2,
            )
        )
    else:
        _print(before, replayed, same, folder)
    raise typer.Exit(0 if same else 1)


def _empty_folder(state_dir: Path | None) -> Path:
    if state_dir is None:
        return Path(tempfile.mkdtemp(prefix="darklane-replay-"))
    if state_dir.exists() and (not state_dir.is_dir() or any(state_dir.iterdir())):
        fail(f"--state-dir {state_dir}: is not an empty folder; give a new one, so that no archive is overwritten")
    return state_dir.absolute()


def rows(verdict: Verdict | None) -> dict[str, str]:
    """What the table compares, as text; empty without a verdict."""
    if verdict is None:
        return {}
    best = max(verdict.objects, key=lambda found: found.probability, default=None)
    guess = max(best.candidates, key=lambda c: c.probability, default=None) if best else None
    scale = verdict.air_scale
    return {
        "decision": verdict.decision.value,
        "reason": verdict.reason.value if verdict.reason else "",
        "score": f"{verdict.score:.4f}",
        "threshold": f"{verdict.threshold:.4f}",
        "objects": str(len(verdict.objects)),
        "first object": f"{best.category} {best.probability:.1%}" if best else "",
        "its best guess": f"{guess.material} {guess.probability:.1%}" if guess else "",
        "frames / lost": f"{verdict.frames} / {verdict.lost_frames}",
        "tube output": f"{scale[0]:.4f}, {scale[1]:.4f}",
        "calibration": verdict.calibration_id,
        "model": " ".join(filter(None, (verdict.model_id, verdict.model_version))),
        "kernels": verdict.kernel_backend,
        "inference": verdict.inference_runtime,
    }


def _print(before: Verdict | None, replayed: Verdict, same: bool, folder: Path) -> None:
    console = options.console()
    old, new = rows(before), rows(replayed)
    table = Table("", "archived", "replayed", title=f"bag {replayed.bag_id}")
    for name, value in new.items():
        if not (value or old.get(name)):
            continue
        style: Any = None if old.get(name) == value else "yellow"
        table.add_row(name, old.get(name, "–"), value, style=style)
    console.print(table)
    if before is None:
        console.print("the archived bag has no verdict to compare with", style="yellow")
    else:
        console.print("same decision" if same else "the decision differs", style="green" if same else "bold red")
    console.print(f"journal, archive, sheet and logs: {folder}", highlight=False, soft_wrap=True, markup=False)
