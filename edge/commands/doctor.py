"""``darklane doctor``: one page on the state of a box, and what to do about each red line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.commands import options
from edge.commands.options import ConfigOption, JsonOption, StateDirOption
from edge.doctor.examination import examine
from edge.doctor.finding import Finding
from edge.install.layout import CONFIGURATION

#: Used when no --config is given and it is there.
INSTALLED = Path("/") / CONFIGURATION
STYLES = {"green": "green", "amber": "yellow", "red": "bold red", "grey": "dim"}


def doctor(config: ConfigOption = None, state_dir: StateDirOption = None, as_json: JsonOption = False) -> None:
    """Look at devices, firmware, kernel, GPU, disk, clock, calibration and configuration; exit code 1 on a red line.

    Without --config the installed configuration is used, where there is one. Nothing is changed. Run it as root, or
    as the user of the services.
    """
    path = config if config is not None else INSTALLED if _exists(INSTALLED) else None
    findings = examine(path, state_dir)
    red = sum(finding.state == "red" for finding in findings)
    if as_json:
        page = {"healthy": red == 0, "findings": [dataclasses.asdict(finding) for finding in findings]}
        typer.echo(json.dumps(page, indent=2, ensure_ascii=False))
    else:
        _report(findings, options.console())
    if red:
        raise typer.Exit(1)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except PermissionError:
        return True


def _report(findings: list[Finding], console: Console) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for _ in ("section", "state", "name"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    section = ""
    for finding in findings:
        says = Text(finding.says)
        if finding.do and finding.state in ("red", "amber"):
            says.append(f"\n-> {finding.do}", style="bold")
        shown = finding.section if finding.section != section else ""
        section = finding.section
        table.add_row(shown, Text(finding.state, style=STYLES[finding.state]), Text(finding.name), says)
    console.print(table)
    counts = {state: sum(finding.state == state for finding in findings) for state in STYLES}
    console.print(", ".join(f"{number} {state}" for state, number in counts.items()), highlight=False)
