"""``darklane experiment``: the paper's two studies with its networks and ours, on simulated scans."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from edge.commands.options import fail

#: A program of its own: no command and no service may import training.
MODULE = "training.experiments"
#: What it needs beside the product: module and the extra that brings it.
NEEDED = {"torch": "train", "matplotlib": "report"}


def experiment(
    study: Annotated[Literal["study1", "study2"], typer.Argument(help="Which study.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of runs, report (HTML) and numbers (JSON).")],
    data: Annotated[
        Path | None, typer.Option("--data", help="Data set of the study; made if missing.", show_default="OUT/data")
    ] = None,
    second: Annotated[
        Path | None, typer.Option("--second", help="Data set of other scene seeds to repeat on.", show_default="none")
    ] = None,
    shuffled: Annotated[bool, typer.Option("--shuffled", help="Also train on labels dealt at random.")] = False,
    splits: Annotated[int, typer.Option("--splits", min=1, max=10, help="Random splits of study 1.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the trainings.")] = 1,
    preset: Annotated[
        str | None, typer.Option("--preset", help="Preset of our network.", show_default="the study's")
    ] = None,
    trunk: Annotated[
        list[str] | None,
        typer.Option(
            "--trunk",
            help="Trunk of the paper's networks to run, repeatable: googlenet, inception_resnet_v2, lite0.",
            show_default="lite0",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Experiment to run, repeatable.", show_default="all")
    ] = None,
    match: Annotated[
        str | None, typer.Option("--match", help="Only runs with this in their name.", show_default="all")
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(
            "--share", metavar="K/N", help="Every N-th run from the K-th (from 0): for N processes side by side.",
            show_default="0/1",
        ),
    ] = None,
    loaders: Annotated[
        int | None,
        typer.Option(
            "--loaders", min=0, help="Processes that prepare batches of our network; any number gives the same ones.",
            show_default="0, with a GPU up to 8",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help="ImageNet weights of the trunk: a file, or the folder of several.")
    ] = None,
    textures: Annotated[
        Path | None,
        typer.Option(
            "--textures", help="Folder of the Describable Textures Dataset, for the texture networks.",
            show_default="a projection that takes its place",
        ),
    ] = None,
    start: Annotated[
        Path | None, typer.Option("--start", help="Folder of weights that a '-pretrained' preset goes on from.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Few scans and short trainings: minutes.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what OUT holds.")] = False,
    report_only: Annotated[bool, typer.Option("--report-only", help="Write the report of what was run.")] = False,
) -> None:  # fmt: skip
    """Train and test networks on the splits of a study; write a report. Everything is simulated.

    Needs the extras 'train' and 'report'. What is not run (a trunk without weights, say) stands in the report as such.
    """
    for module, extra in NEEDED.items():
        if find_spec(module) is None:
            fail(f"darklane experiment needs {module}, which is not installed; install darklane[{extra}]", 1)
    command = [sys.executable, "-m", MODULE, study, "--out", str(out), "--splits", str(splits), "--seed", str(seed)]
    for name, value in {
        "--data": data,
        "--second": second,
        "--preset": preset,
        "--match": match,
        "--share": share,
        "--loaders": loaders,
        "--weights": weights,
        "--textures": textures,
        "--start": start,
    }.items():
        command += [name, str(value)] if value is not None else []
    for name, values in {"--trunk": trunk, "--only": only}.items():
        for value in values or []:
            command += [name, value]
    switches = {"--quick": quick, "--shuffled": shuffled, "--resume": resume, "--report-only": report_only}
    command += [name for name, on in switches.items() if on]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
