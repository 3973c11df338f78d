"""``darklane dataset``: makes a data set of simulated scans for training and for the paper's two studies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

#: A program of its own: no command and no service may import the simulation.
MODULE = "training.dataset"


def dataset(
    kind: Annotated[Literal["study1", "study2", "lane"], typer.Argument(help="Which data set.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the data set; a stopped run goes on in it.")],
    scans: Annotated[int | None, typer.Option("--scans", min=4, help="Scans.", show_default="200, 576, 300")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="Seed of the first scene.", show_default="the kind's own")
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes.", show_default="cores")] = None,
    scheduler: Annotated[
        str | None,
        typer.Option("--scheduler", help="Dask scheduler, tcp://host:port, whose workers see the folder."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A few scans, to try things.")] = False,
    kv: Annotated[int | None, typer.Option("--kv", help="Tube, kVp: 80 or 120.", show_default="80, 120, 80")] = None,
    belt_mm_s: Annotated[
        float | None, typer.Option("--belt-mm-s", min=0.1, help="Belt speed.", show_default="1, 1, the lane's")
    ] = None,
    binning: Annotated[
        int | None,
        typer.Option("--binning", min=1, help="Pixels of 0.3 mm summed before retrieval.", show_default="1, 2, 1"),
    ] = None,
    clutter: Annotated[
        tuple[int, int] | None,
        typer.Option("--clutter", help="study1: least and most things beside the sample.", show_default="2 4"),
    ] = None,
    per_scanner: Annotated[
        int | None, typer.Option("--per-scanner", min=1, help="Another emulated scanner after so many scans.")
    ] = None,
    map_only: Annotated[bool, typer.Option("--map-only", help="Without the paper's own retrieval.")] = False,
) -> None:
    """Simulate scans: scenes, photon noise, retrieval, labels. Everything in the data set is simulated.

    study1: bags with one explosive or one benign sample; study2: laptops, phones and hair-dryers, half with hidden C4;
    lane: bags as the demo's. About 0.25, 1 and 2.5 s a scan and core. The content depends on kind, seed and settings
    alone.
    """
    options = {
        "--out": out, "--scans": scans, "--seed": seed, "--workers": workers or os.cpu_count() or 1,
        "--scheduler": scheduler, "--kv": kv, "--belt-mm-s": belt_mm_s, "--binning": binning,
        "--per-scanner": per_scanner,
    }  # fmt: skip
    command = [sys.executable, "-m", MODULE, kind]
    for name, value in options.items():
        if value is not None:
            command += [name, str(value)]
    command += ["--quick"] if quick else []
    command += ["--clutter", *map(str, clutter)] if clutter is not None else []
    command += ["--map-only"] if map_only else []
    raise typer.Exit(subprocess.run(command, check=False).returncode)
