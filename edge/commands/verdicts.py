"""``darklane verdicts``: what was decided, from the journal; works while the lane runs and after."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Annotated

import typer
from rich.table import Table

from edge.commands import options
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.lane_view import COLOURS
from edge.messages import Verdict
from edge.verdict.journal import FILE_NAME, JournalError
from edge.verdict.journal_reader import JournalReader


def verdicts(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json: JsonOption = False,
    newest: Annotated[int | None, typer.Option("--newest", min=1, help="Only the newest so many.")] = None,
) -> None:
    """Show every verdict of the journal, in order; --json prints one JSON object per line."""
    settings = configuration(config, state_dir)
    try:
        with JournalReader(settings.state_dir / FILE_NAME) as journal:
            found, waiting = journal.verdicts(newest), journal.open_bags()
    except JournalError as error:
        fail(str(error), 1)
    if json:
        for verdict in found:
            typer.echo(verdict.model_dump_json())
        return
    console = options.console()
    console.print(table(found))
    if waiting:
        console.print(f"{len(waiting)} bag(s) without a verdict yet: {', '.join(waiting)}", highlight=False)


def table(found: list[Verdict]) -> Table:
    """One row per verdict."""
    shown = Table(box=None, pad_edge=False, title=f"{sum(v.final for v in found)} final verdict(s)")
    for heading in ("seq", "UTC", "bag", "verdict", "reason", "score", "lost", "objects"):
        shown.add_column(heading, no_wrap=heading != "objects", overflow="fold")
    for verdict in found:
        when = datetime.fromtimestamp(verdict.t_ns / 1e9, timezone.utc)
        shown.add_row(
            str(verdict.seq),
            f"{when:%m-%d %H:%M:%S}",
            verdict.bag_id,
            decision(verdict),
            verdict.reason.value if verdict.reason else "",
            f"{verdict.score:.2f}/{verdict.threshold:.2f}",
            str(verdict.lost_frames),
            objects(verdict),
        )
    return shown


def decision(verdict: Verdict) -> str:
    """The decision in its colour; a supplement says what it supplements."""
    late = "" if verdict.final else f" (supplements {verdict.supersedes})"
    return f"[{COLOURS[verdict.decision]}]{verdict.decision.value}[/]{late}"


def objects(verdict: Verdict) -> str:
    """The threats among the objects by their likeliest material."""
    threats = [item for item in verdict.objects if item.category == "explosive"]
    names = [f"{item.candidates[0].material} {item.probability:.0%}" for item in threats if item.candidates]
    return ", ".join(names) or (f"{len(threats)}" if threats else "")
