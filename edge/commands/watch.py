"""``darklane watch``: the verdict feed as a live table, or as JSON lines."""

from __future__ import annotations

import dataclasses
import json as json_text
import sys
import time
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live

from edge import topics
from edge.client import FeedClient, Item, Picture
from edge.commands.feed_options import FeedOption, KeyOption, RequestsOption, ServerKeyOption, local, read_keys
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.commands.watch_board import Board
from edge.config import Config
from edge.messages import BagNotice, Hello, LaneState, Message, Verdict
from edge.verdict.journal import FILE_NAME, JournalError
from edge.verdict.journal_reader import JournalReader

#: Rows of the table that are filled from the journal at the start.
EARLIER = 10
REFRESH_S = 0.25
_TOPICS = {Verdict: topics.BAG_VERDICT, LaneState: topics.LANE_STATE, Hello: topics.HELLO}


def watch(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json: JsonOption = False,
    finals: Annotated[
        int | None, typer.Option("--finals", min=1, help="End after so many final verdicts.", show_default="Ctrl-C")
    ] = None,
    feed: FeedOption = "",
    requests: RequestsOption = "",
    server_key: ServerKeyOption = None,
    key: KeyOption = None,
) -> None:
    """Follow bags, verdicts and the state of the lane until Ctrl-C; --json prints every message as one line."""
    settings = configuration(config, state_dir)
    keys = read_keys(server_key, key)
    try:
        with FeedClient(feed or local(settings), requests, keys=keys) as client:
            if json:
                _print_lines(client, finals)
            else:
                _show_table(client, settings, finals, elsewhere=bool(feed))
    except ValueError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        return


def line(item: Item) -> dict[str, Any]:
    """One item as what a JSON line shows; what the client says itself has its own name as topic."""
    if isinstance(item, Picture):
        return {"topic": topics.BAG_IMAGE, **item.header.model_dump(mode="json")}
    if isinstance(item, BagNotice):
        return {"topic": topics.BAG_END if item.ended else topics.BAG_START, **item.model_dump(mode="json")}
    if isinstance(item, Message):
        return {"topic": _TOPICS[type(item)], **item.model_dump(mode="json")}
    return {"topic": type(item).__name__.lower(), **dataclasses.asdict(item)}


def _print_lines(client: FeedClient, finals: int | None) -> None:
    while finals is None or finals > 0:
        item = client.next(REFRESH_S)
        if item is None:
            continue
        typer.echo(json_text.dumps(line(item)))
        sys.stdout.flush()
        if finals is not None and isinstance(item, Verdict) and item.final:
            finals -= 1


def _show_table(client: FeedClient, settings: Config, finals: int | None, *, elsewhere: bool) -> None:
    board = Board("feed" if elsewhere else settings.lane.name)
    for verdict in [] if elsewhere else _earlier(settings):
        board.take(verdict, time.monotonic())
    wanted = None if finals is None else board.finals + finals
    with Live(board.render(time.time_ns(), time.monotonic()), console=Console(), auto_refresh=False) as live:
        while wanted is None or board.finals < wanted:
            item = client.next(REFRESH_S)
            while item is not None:
                board.take(item, time.monotonic())
                item = client.next(0.0)
            live.update(board.render(time.time_ns(), time.monotonic()), refresh=True)


def _earlier(settings: Config) -> list[Verdict]:
    """The newest verdicts of the journal; none when it is not on this machine."""
    try:
        with JournalReader(settings.state_dir / FILE_NAME) as journal:
            return journal.verdicts(EARLIER)
    except JournalError:
        return []
