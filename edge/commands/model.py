"""``darklane model``: the network bundles of a lane, looked at, checked, activated, run in the shadow."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from calibration.activation import ACTIVE
from edge.audit.log import recorded
from edge.commands import options
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.config import Config
from edge.inference.bundle import MANIFEST, ModelBundleError, load
from edge.inference.card import card
from edge.inference.examination import MaterialDetector
from edge.inference.model_file import ModelError, shipped
from edge.inference.model_folder import ENGINES, NONE, SHADOW, SHIPPED, Entry, ModelFolder
from edge.inference.models import check_active
from edge.inference.network import Network, open_network

app = typer.Typer(help="Networks: list, verify, activate, rollback, shadow, card.", no_args_is_help=True)

ModelArgument = Annotated[
    str, typer.Argument(help="Id, the beginning of one, 'shipped', 'none', or a bundle's folder to take in.")
]


@app.command("list")
def list_(config: ConfigOption = None, state_dir: StateDirOption = None, json_: JsonOption = False) -> None:
    """Show every network, and which is active or in the shadow."""
    settings = configuration(config, state_dir)
    folder = ModelFolder(settings.state_dir)
    rows = [_row(entry, folder) for entry in folder.entries()]
    if json_:
        typer.echo(json.dumps({"active": folder.in_use(), "shadow": folder.in_use(SHADOW), "models": rows}))
        return
    title = f"{len(rows)} network(s); active: {folder.in_use()}, shadow: {folder.in_use(SHADOW)}"
    table = Table(box=None, pad_edge=False, title=title)
    for heading in ("", "name", "id", "made (UTC)", "runs", "about"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "about")
    for row in rows:
        table.add_row(*(str(row[key]) for key in ("use", "name", "id", "created", "runs", "detail")))
    options.console().print(table)


@app.command()
def verify(
    model: Annotated[str, typer.Argument(help="Id, the beginning of one, 'shipped', a folder, or 'all'.")] = "all",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Check signature, digests and golden vectors; exit code 1 when a network may not be used on this lane."""
    settings = configuration(config, state_dir)
    folder = ModelFolder(settings.state_dir)
    names = [entry.name for entry in folder.entries()] if model == "all" else [model]
    checked = {}
    for name in names:
        try:
            network = _tried(folder, name, settings)
            told = f"{network.bundle.id} is sound and gives its golden vectors on {network.runtime.name}"
            checked[name] = (True, told)
        except ModelBundleError as error:
            checked[name] = (False, str(error))
    if json_:
        typer.echo(json.dumps({name: {"ok": ok, "detail": detail} for name, (ok, detail) in checked.items()}))
    else:
        for name, (_, detail) in checked.items():
            options.console().print(f"{name}: {detail}", highlight=False, markup=False)
        if not checked:
            options.console().print("there is no network; the material discriminator judges alone", highlight=False)
    if not all(ok for ok, _ in checked.values()):
        raise typer.Exit(1)


@app.command()
def activate(model: ModelArgument, config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Let a network decide: by itself or joined with the material discriminator, as its bundle says.

    'none': the discriminator alone.

    It is checked first. A lane that runs takes it for the next bag; bags in the lane keep theirs.
    """
    settings = configuration(config, state_dir)
    _set(ModelFolder(settings.state_dir), ACTIVE, model, settings)


@app.command()
def shadow(model: ModelArgument, config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Run a network beside the active one: its score is in every verdict, it decides nothing. 'none': no shadow."""
    settings = configuration(config, state_dir)
    _set(ModelFolder(settings.state_dir), SHADOW, model, settings)


@app.command()
def rollback(config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Go back to what was active before."""
    settings = configuration(config, state_dir)
    folder = ModelFolder(settings.state_dir)
    pointer = folder.pointer()
    if not pointer.get():
        fail(f"nothing was ever activated in {folder.path}; nothing to go back to", 1)
    # Before the first activation it was what the software ships.
    _set(folder, ACTIVE, pointer.previous() or SHIPPED, settings)


@app.command("card")
def card_(
    model: Annotated[str, typer.Argument(help="Id, the beginning of one, or 'shipped'.")] = SHIPPED,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Print the model card: what a network is, what it was trained on, what it reaches. Markdown."""
    folder = ModelFolder(configuration(config, state_dir).state_dir)
    try:
        typer.echo(card(folder.load(folder.find(model))), nl=False)
    except ModelBundleError as error:
        fail(str(error), 1)


def _set(folder: ModelFolder, role: str, model: str, settings: Config) -> None:
    """Point at ``model`` after everything that the lane will check has been checked here."""
    told = "the material discriminator judges alone" if role == ACTIVE else "no network runs in the shadow"
    try:
        name = _taken_in(folder, model)
        if folder.meant_by(name, role) != NONE:
            network = _tried(folder, name, settings)
            if role == ACTIVE:
                check_active(network, MaterialDetector(shipped(settings.scanner.tube_kv), min_area_mm2=1.0))
            told = f"{network.bundle.id} ({name}) is {'active' if role == ACTIVE else 'in the shadow'}"
        elif name == SHIPPED and folder.shipped_path() is not None:
            told += "; the shipped network has another role"
    except (ModelBundleError, ModelError) as error:
        fail(f"{error}; nothing was changed", 1)
    try:
        with recorded(settings.state_dir, f"model {role}", name=name, before=folder.chosen(role)):
            folder.pointer(role).set(name)
    except OSError as error:
        fail(f"{error}; nothing was changed", 1)
    options.console().print(told, highlight=False, markup=False)


def _taken_in(folder: ModelFolder, model: str) -> str:
    """Name of the model in ``folder``; a bundle's folder from elsewhere is copied there first."""
    elsewhere = Path(model)
    return folder.add(elsewhere) if (elsewhere / MANIFEST).is_file() else folder.find(model)


def _tried(folder: ModelFolder, name: str, settings: Config) -> Network:
    """Load and run the golden vectors, as the service will."""
    path = Path(name)
    bundle = load(path, folder.keys) if (path / MANIFEST).is_file() else folder.load(folder.find(name))
    return open_network(bundle, settings.inference.runtime, 1, settings.scanner, settings.state_dir / ENGINES)


def _row(entry: Entry, folder: ModelFolder) -> dict[str, Any]:
    used = [role for role in (ACTIVE, SHADOW) if folder.in_use(role) == entry.name]
    row = {"use": ", ".join(used), "name": entry.name, "id": "", "created": "", "runs": "", "detail": entry.error}
    if entry.bundle is None:
        return row
    manifest = entry.bundle.manifest
    graph = manifest.graphs[manifest.precision]
    size = entry.bundle.size / 1e6
    fused = "fused" if graph.fusion else "shadow only"
    return row | {
        "id": entry.bundle.id,
        "created": f"{datetime.fromtimestamp(manifest.created_ns / 1e9, timezone.utc):%Y-%m-%d %H:%M}",
        "runs": manifest.precision,
        "detail": f"{manifest.name} {manifest.version}, {fused}, {size:.1f} MB, {manifest.data.description}",
    }
