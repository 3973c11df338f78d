"""``darklane calibration``: the lane's calibration bundles, looked at, checked, compared, activated."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from calibration.bundle import Bundle, BundleError, activate
from calibration.folder import active_id, differences, entries, find, history, previous
from edge.audit.log import recorded
from edge.commands import options
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.config import Config

app = typer.Typer(help="Calibration bundles: list, show, verify, diff, activate.", no_args_is_help=True)

BundleArgument = Annotated[str, typer.Argument(help="Id, the beginning of one, or 'active'.")]


@app.command("list")
def list_(config: ConfigOption = None, state_dir: StateDirOption = None, json_: JsonOption = False) -> None:
    """Show every bundle: when it was made, its state, and which one is active."""
    settings = configuration(config, state_dir)
    folder = _folder(settings)
    active = active_id(folder)
    rows = [
        {
            "id": entry.id,
            "active": entry.id == active,
            "created": _when(entry.bundle.created_ns) if entry.bundle else "",
            "state": entry.state(settings.calibration.max_age_h, settings.scanner.model_dump_json()),
            "detail": entry.error or _about(entry.bundle),
        }
        for entry in entries(folder)
    ]
    if json_:
        typer.echo(json.dumps(rows))
        return
    table = Table(box=None, pad_edge=False, title=f"{len(rows)} calibration(s) in {folder}")
    for heading in ("", "id", "made (UTC)", "state", "about"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "about")
    for row in rows:
        table.add_row("●" if row["active"] else "", *(str(row[k]) for k in ("id", "created", "state", "detail")))
    options.console().print(table)


@app.command()
def show(
    bundle: BundleArgument = "active",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Show what a bundle says about its making: devices, limits, and what every step measured."""
    settings = configuration(config, state_dir)
    found = _find(_folder(settings), bundle)
    told = _told(found, settings)
    if json_:
        typer.echo(json.dumps(told))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name in ("id", "state", "created", "software", "working_point_um", "bad_pixels"):
        table.add_row(name.replace("_", " "), str(told[name]))
    manifest = found.manifest
    table.add_row("recorded on", "the emulated scanner (simulated)" if manifest.simulated else "devices")
    table.add_row("by", f"{manifest.operator or 'unnamed'} on {manifest.host or 'unnamed'}")
    table.add_row("tube, thresholds", f"{manifest.tube_kv:g} kVp, {manifest.thresholds_ev} eV")
    for name, device in manifest.devices.items():
        table.add_row(name, f"{device.serial or 'no serial'}, firmware {device.firmware or 'unknown'}")
    for step in manifest.steps:
        table.add_row(step.step, ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in step.values.items()))
    options.console().print(table)


@app.command()
def verify(
    bundle: Annotated[str, typer.Argument(help="Id, the beginning of one, 'active', or 'all'.")] = "all",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Check content hash and signature; exit code 1 when a bundle may not be used."""
    folder = _folder(configuration(config, state_dir))
    if bundle == "all":
        checked = {entry.id: entry.error for entry in entries(folder)}
    else:
        found = _find(folder, bundle)
        checked = {found.id: ""}
    if json_:
        typer.echo(json.dumps({name: {"ok": not error, "error": error} for name, error in checked.items()}))
    else:
        console = options.console()
        for name, error in checked.items():
            console.print(f"{name}: {error or 'content and signature are right'}", highlight=False, markup=False)
        if not checked:
            console.print(f"no calibration in {folder}", highlight=False, markup=False)
    if any(checked.values()):
        raise typer.Exit(1)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="Id or the beginning of one.")],
    after: BundleArgument = "active",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Show how far two calibrations lie apart."""
    folder = _folder(configuration(config, state_dir))
    first, second = _find(folder, before), _find(folder, after)
    try:
        values = differences(first, second)
    except ValueError as error:
        fail(str(error), 1)
    if json_:
        typer.echo(json.dumps({"before": first.id, "after": second.id, "differences": values}))
        return
    table = Table(box=None, pad_edge=False, title=f"{first.id} → {second.id}", show_header=False)
    for name, value in values.items():
        table.add_row(name, f"{value:.4g}")
    options.console().print(table)


@app.command("activate")
def activate_(
    bundle: Annotated[str, typer.Argument(help="Id, or the beginning of one.")] = "",
    back: Annotated[bool, typer.Option("--previous", help="Go back to the one that was active before.")] = False,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Make a bundle the active one. The next bag is scanned with it; a bag in the lane keeps its own."""
    settings = configuration(config, state_dir)
    folder = _folder(settings)
    if bool(bundle) == back:
        fail("name a calibration, or give --previous")
    try:
        found = find(folder, previous(folder) if back else bundle)
        state = found.state(settings.calibration.max_age_h, settings.scanner.model_dump_json())
        if state == "INVALID":
            fail(f"{found.id} was made for other [scanner] settings; it stays inactive. Run 'darklane calibrate'", 1)
        with recorded(settings.state_dir, "calibration activate", id=found.id, digest=found.digest):
            activate(folder, found.id)
    except (BundleError, OSError) as error:
        fail(str(error), 1)
    warning = "" if state == "CALIBRATED" else f"; it is {state}: no bag will be cleared"
    options.console().print(f"{found.id} is active{warning}", highlight=False, markup=False)


@app.command("history")
def history_(config: ConfigOption = None, state_dir: StateDirOption = None, json_: JsonOption = False) -> None:
    """Show every activation, the oldest first."""
    rows = history(_folder(configuration(config, state_dir)))
    if json_:
        typer.echo(json.dumps([{"t_ns": t_ns, "id": bundle_id} for t_ns, bundle_id in rows]))
        return
    for t_ns, bundle_id in rows:
        typer.echo(f"{_when(t_ns)}  {bundle_id}")


def _folder(settings: Config) -> Path:
    return settings.state_dir / "calibration"


def _find(folder: Path, name: str) -> Bundle:
    try:
        return find(folder, name)
    except BundleError as error:
        fail(str(error), 1)


def _when(t_ns: int) -> str:
    return f"{datetime.fromtimestamp(t_ns / 1e9, timezone.utc):%Y-%m-%d %H:%M:%S}"


def _about(bundle: Bundle | None) -> str:
    if bundle is None:
        return ""
    made_on = "simulated" if bundle.manifest.simulated else "measured"
    return f"{made_on}, x0 {bundle.working_point_um:+g} µm, {int((bundle.good_pixels == 0).sum())} bad pixels"


def _told(bundle: Bundle, settings: Config) -> dict[str, Any]:
    return {
        "id": bundle.id,
        "digest": bundle.digest,
        "state": bundle.state(settings.calibration.max_age_h, settings.scanner.model_dump_json()),
        "created": _when(bundle.created_ns),
        "software": bundle.software,
        "working_point_um": bundle.working_point_um,
        "bad_pixels": int((bundle.good_pixels == 0).sum()),
        "manifest": bundle.manifest.model_dump(mode="json"),
    }
