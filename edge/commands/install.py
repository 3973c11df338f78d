"""``darklane install`` and ``darklane uninstall``: units, sysctl, udev rules and configuration of a box."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edge.commands.options import fail
from edge.install import steps
from edge.install.layout import InstallError, shipped

RootOption = Annotated[Path, typer.Option("--root", help="Root of the file system to work on.", exists=True)]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done; change nothing.")]
#: Places that the hardened services cannot see.
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - named, not used
ACTIVATE = (
    "systemd-sysusers",
    "systemd-tmpfiles --create darklane.conf",
    "sysctl -p /usr/local/lib/sysctl.d/60-darklane.conf",
    "udevadm control --reload && udevadm trigger --subsystem-match=tty",
    "systemctl daemon-reload",
    "systemctl enable --now darklane.target",
)


def install(
    root: RootOption = Path("/"),
    prefix: Annotated[
        str,
        typer.Option(
            "--prefix",
            help="Python environment on the box that holds darklane.",
            show_default="the one that runs this command",
        ),
    ] = "",
    dry_run: DryRunOption = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite units that were changed by hand.")] = False,
) -> None:
    """Put systemd units, sysctl, tmpfiles, sysusers, udev rules and a first configuration in place.

    The configuration is never overwritten. Nothing is started: the commands for that are printed.
    """
    prefix = prefix or sys.prefix
    try:
        done = steps.install(root, shipped(prefix), force=force, dry_run=dry_run)
    except InstallError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}; is this run as root?", 1)
    _report(done, root, dry_run)
    hidden = [place for place in (prefix, *([sys.base_prefix] if prefix == sys.prefix else [])) if _hidden(place)]
    if hidden:
        typer.echo(f"note: services cannot see {', '.join(hidden)}; install darklane elsewhere, e.g. in /opt/darklane")
    if not dry_run:
        typer.echo("next, as root on the box (and after every install):")
        for command in ACTIVATE:
            typer.echo(f"  {command}")


def uninstall(root: RootOption = Path("/"), dry_run: DryRunOption = False) -> None:
    """Remove what ``darklane install`` wrote and nobody changed since. Scans, calibration and journal stay."""
    try:
        done = steps.uninstall(root, dry_run=dry_run)
    except InstallError as error:
        fail(str(error), 1)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}; is this run as root?", 1)
    _report(done, root, dry_run)
    if not dry_run:
        typer.echo("the data of the lane stays in its state_dir; next, as root on the box: systemctl daemon-reload")


def _hidden(place: str) -> bool:
    return any(place == top or place.startswith(top + "/") for top in HIDDEN)


def _report(done: list[steps.Step], root: Path, dry_run: bool) -> None:
    for step in done:
        typer.echo(f"{step.verb:9} {root / step.path}{': ' + step.note if step.note else ''}")
    counts: dict[str, int] = {}
    for step in done:
        counts[step.verb] = counts.get(step.verb, 0) + 1
    summary = ", ".join(f"{number} {verb}" for verb, number in sorted(counts.items()))
    typer.echo(f"{'would be done, nothing was changed' if dry_run else 'done'}: {summary}")
