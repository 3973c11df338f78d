"""``darklane selftest``: golden vectors through every back end of this machine; the first thing to run on a new box."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from edge.commands.options import JsonOption


def selftest(
    as_json: JsonOption = False,
    golden: Annotated[
        Path | None,
        typer.Option("--golden", help="Folder of golden vectors.", show_default="those of the package", exists=True),
    ] = None,
) -> None:
    """Compare every back end and instruction set here with float64 references; exit code 1 on any failure."""
    from kernels.selftest.golden import FOLDER  # noqa: PLC0415 - other commands need none of it
    from kernels.selftest.run import run  # noqa: PLC0415

    result = run(golden or FOLDER)
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        _report(result, Console())
    if not result["passed"]:
        raise typer.Exit(1)


def _report(result: dict[str, Any], console: Console) -> None:
    table = Table()
    for heading in ("engine", "vector", "quantity", "difference", "tolerance", "ms", ""):
        table.add_column(heading, justify="right" if heading in ("difference", "tolerance", "ms") else "left")
    for engine in result["engines"]:
        if "error" in engine:
            table.add_row(engine["engine"], "", engine["error"], "", "", "", "[bold red]FAILED[/]")
        for check in engine["checks"]:
            if "error" in check:
                table.add_row(engine["engine"], check["vector"], check["error"], "", "", "", "[bold red]FAILED[/]")
                continue
            for i, quantity in enumerate(check["quantities"]):
                difference = quantity["difference"]
                table.add_row(
                    engine["engine"],
                    check["vector"],
                    quantity["quantity"],
                    "not a number" if difference is None else f"{difference:.1e}",
                    f"{quantity['tolerance']:.0e} {quantity['unit']}" if quantity["tolerance"] else "none",
                    f"{check['milliseconds']:.2f}" if i == 0 else "",
                    "ok" if quantity["passed"] else "[bold red]FAILED[/]",
                )
    console.print(table)
    for engine in result["engines"]:
        if "map_fits_per_second" in engine:
            console.print(
                f"{engine['engine']}: map {engine['map_fits_per_second'] / 1e6:.2f} M fits/s, one thread; "
                f"ready in {engine['ready_ms']:.0f} ms",
                highlight=False,
            )
    names = [engine["engine"] for engine in result["engines"]]
    if "cuda" not in names:
        console.print("cuda: no GPU here, nothing of it was checked", highlight=False)
    for name, version in result["versions"].items():
        console.print(f"{name}: {version if version is not None else 'not installed'}", highlight=False, markup=False)
    console.print("[bold green]passed[/]" if result["passed"] else "[bold red]FAILED[/]")
