"""Options that several commands share, and how they end with a helpful error."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from edge.config import Config, ConfigError, load

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="TOML file of the lane; every key has a default.", show_default="none"),
]
StateDirOption = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Journal, archive, calibration and logs live here.", show_default="from the file"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

#: Width of tables when the output is a file or a pipe, in characters.
LOG_WIDTH = 120

error_console = Console(stderr=True)


def console(*, stderr: bool = False) -> Console:
    """As wide as the terminal, or :data:`LOG_WIDTH` where there is none."""
    made = Console(stderr=stderr)
    if not made.is_terminal:
        made.width = LOG_WIDTH
    return made


def fail(message: str, code: int = 2) -> NoReturn:
    """Print ``message`` to stderr and end with ``code``."""
    error_console.print(f"[bold red]error:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(code)


def configuration(config: Path | None, state_dir: Path | None) -> Config:
    """The lane's configuration with the state directory of the command line; ends the command on a bad file."""
    try:
        loaded = load(config)
    except ConfigError as error:
        fail(str(error))
    if state_dir is None:
        return loaded
    return loaded.model_copy(update={"lane": loaded.lane.model_copy(update={"state_dir": state_dir})})
