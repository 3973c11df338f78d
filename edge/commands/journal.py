"""``darklane journal``: check, export and prune the record of every bag and verdict."""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TextIO

import typer

from edge.commands.options import ConfigOption, StateDirOption, configuration, fail
from edge.messages import Verdict
from edge.verdict.journal import FILE_NAME, JournalError
from edge.verdict.journal_check import check as check_file
from edge.verdict.journal_prune import prune as prune_file
from edge.verdict.journal_reader import JournalReader

app = typer.Typer(help="The record of every bag and verdict.", no_args_is_help=True)

FileOption = Annotated[Path | None, typer.Option("--file", help="A journal; default: that of the state directory.")]

#: Columns of the CSV: what one looks at in a table. The JSON lines hold everything.
COLUMNS = (
    "seq", "t_ns", "bag_id", "bag_tag", "decision", "iata", "reason", "final", "supersedes", "score", "threshold",
    "frames", "lost_frames", "deadline_ns", "latency_ms", "calibration_id", "model_id", "model_version", "detail",
)  # fmt: skip


@app.command()
def check(config: ConfigOption = None, state_dir: StateDirOption = None, file: FileOption = None) -> None:
    """Check the file and every row: integrity, sequence, one final verdict per bag. Exit code 1 if unsound."""
    path = file or configuration(config, state_dir).state_dir / FILE_NAME
    with _named():
        report = check_file(path)
    for problem in report.problems:
        typer.echo(problem)
    typer.echo(report.line())
    if report.problems:
        raise typer.Exit(1)


@app.command()
def export(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    file: FileOption = None,
    form: Annotated[Literal["json", "csv"], typer.Option("--format", help="JSON lines (everything) or CSV.")] = "json",
    after_seq: Annotated[int, typer.Option("--after", min=0, help="Only verdicts behind this sequence.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: standard output.")] = None,
) -> None:
    """Write every verdict in order."""
    path = file or configuration(config, state_dir).state_dir / FILE_NAME
    with _named(), JournalReader(path) as journal:
        verdicts = journal.verdicts(after_seq=after_seq)
    if out is None:
        _write(verdicts, form, sys.stdout)
        return
    with out.open("w", encoding="utf-8", newline="") as stream:
        _write(verdicts, form, stream)
    typer.echo(f"{out}: {len(verdicts)} verdict(s)")


@app.command()
def prune(
    keep_days: Annotated[float, typer.Option("--keep-days", min=0, help="Verdicts younger than this stay.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Close the journal under another name and start a new one that goes on with its sequence. Stop the lane first."""
    path = configuration(config, state_dir).state_dir / FILE_NAME
    with _named():
        pruned = prune_file(path, time.time_ns() - round(keep_days * 86_400e9))
    if pruned is None:
        typer.echo(f"{path}: nothing is older than {keep_days:g} day(s)")
        return
    typer.echo(f"{pruned.closed}: closed, with all {pruned.before} verdicts; archive it or delete it")
    typer.echo(f"{path}: goes on with the newest {pruned.kept}")


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except (JournalError, OSError) as error:
        fail(str(error), 1)


def _write(verdicts: list[Verdict], form: str, stream: TextIO) -> None:
    if form == "json":
        stream.writelines(verdict.model_dump_json() + "\n" for verdict in verdicts)
        return
    writer = csv.writer(stream)
    writer.writerow(COLUMNS)
    for verdict in verdicts:
        row = verdict.model_dump(mode="json", include=set(COLUMNS))
        writer.writerow([row[name] for name in COLUMNS])
