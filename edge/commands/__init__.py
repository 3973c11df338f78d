"""The command line: one file per command, registered here."""

from __future__ import annotations

from importlib import import_module

import typer

app = typer.Typer(
    name="darklane",
    help="Edge appliance for edge-illumination x-ray baggage scanning: retrieval, detection, fail-safe verdicts.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

#: Commands in the order in which help shows them; each lives in a module and function of its own name.
COMMANDS = (
    "demo",
    "run",
    "calibrate",
    "watch",
    "verdicts",
    "replay",
    "messages",
    "selftest",
    "figures",
    "dataset",
    "experiment",
    "doctor",
    "install",
    "uninstall",
)
#: Groups of commands: module with an `app` of its own.
GROUPS = ("device", "calibration", "model", "bench", "keys", "journal", "feed", "audit")

#: Commands that share the module of another one.
MODULES = {"uninstall": "install"}

for _name in COMMANDS:
    app.command(_name)(getattr(import_module(f"edge.commands.{MODULES.get(_name, _name)}"), _name))


for _name in GROUPS:
    app.add_typer(import_module(f"edge.commands.{_name}").app, name=_name)


def main() -> None:
    """Entry point of ``darklane``."""
    app()
