"""``darklane figures``: the paper's figures of single materials, drawn from simulated samples."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import fail

#: A program of its own: no command and no service may import the simulation.
MODULE = "training.figures"


def figures(
    out: Annotated[Path, typer.Option("--out", help="Folder of the PNGs and of figures.json.")] = Path("figures"),
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of scanner, samples and noise.")] = 930_000,
) -> None:
    """Draw Fig. 2 (a to d) and Supplementary Figs. 1 to 4 of the paper from simulated samples; about 20 s.

    Needs the extra 'report' (matplotlib). Every figure says that it is simulated; the numbers are in figures.json.
    """
    if find_spec("matplotlib") is None:
        fail("darklane figures draws with matplotlib, which is not installed; install darklane[report]", 1)
    command = [sys.executable, "-m", MODULE, "--out", str(out), "--seed", str(seed)]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
