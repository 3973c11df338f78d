"""``darklane audit``: whether the record of commands, key changes and activations is as it was written."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from edge.audit.check import check
from edge.audit.log import FOLDER
from edge.commands import options
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail

app = typer.Typer(help="The lane's audit: verify.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """More may come: a group of one command would be called without its name."""


@app.command()
def verify(
    head: Annotated[str, typer.Option("--head", help="Hash that an earlier run printed; it must still be there.")] = "",
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Check every line; exit code 1 names the first one that was changed, removed or inserted.

    Lines cut off at the end leave no trace: note the hash that is printed, elsewhere, and give it the next time.
    """
    folder = configuration(config, state_dir).state_dir / FOLDER
    try:
        report = check(folder, head)
    except OSError as error:
        fail(f"the audit cannot be read: {error}", 1)
    if json_:
        typer.echo(json.dumps(asdict(report)))
    else:
        for note in report.notes:
            options.console().print(f"note: {note}", highlight=False, markup=False, soft_wrap=True)
        if not report.problem:
            told = f"{report.lines} line(s) in {folder}, none changed; head {report.head}"
            options.console().print(told, highlight=False, markup=False, soft_wrap=True)
    if report.problem:
        fail(f"{folder}: {report.problem}", 1)
