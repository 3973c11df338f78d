"""``darklane watch``: the verdict feed as a live table, or as JSON lines."""

from __future__ import annotations

import json as json_text
import sys
import time
from typing import Annotated

import typer
import zmq
from rich.console import Console
from rich.live import Live

from edge import wire
from edge.bus import Bus
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.commands.watch_board import Board
from edge.config import Config
from edge.messages import Message, Verdict
from edge.verdict.journal import FILE_NAME, JournalError
from edge.verdict.journal_reader import JournalReader

#: Rows of the table that are filled from the journal at the start.
EARLIER = 10
REFRESH_S = 0.25


def watch(
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
    json: JsonOption = False,
    finals: Annotated[
        int | None, typer.Option("--finals", min=1, help="End after so many final verdicts.", show_default="Ctrl-C")
    ] = None,
) -> None:
    """Follow bags, verdicts and the state of the lane until Ctrl-C; --json prints every message as one line."""
    settings = configuration(config, state_dir)
    try:
        bus = Bus(settings.run_dir, "watch")
    except (OSError, ValueError) as error:
        fail(str(error), 1)
    try:
        feed = bus.subscriber("feed")
        if json:
            _print_lines(feed, finals)
        else:
            _show_table(feed, settings, finals)
    except KeyboardInterrupt:
        return
    finally:
        bus.close()


def receive(feed: zmq.Socket[bytes], wait_s: float) -> tuple[str, Message] | None:
    """Next message of the feed; None when nothing came, or nothing that can be read."""
    if not feed.poll(round(wait_s * 1e3)):
        return None
    try:
        topic, message, _ = wire.decode_any(feed.recv_multipart())
    except wire.WireError as error:
        typer.echo(f"unreadable feed message: {error}", err=True)
        return None
    return topic, message


def _print_lines(feed: zmq.Socket[bytes], finals: int | None) -> None:
    while finals is None or finals > 0:
        received = receive(feed, REFRESH_S)
        if received is None:
            continue
        topic, message = received
        typer.echo(json_text.dumps({"topic": topic, **message.model_dump(mode="json")}))
        sys.stdout.flush()
        if finals is not None and isinstance(message, Verdict) and message.final:
            finals -= 1


def _show_table(feed: zmq.Socket[bytes], settings: Config, finals: int | None) -> None:
    board = Board(settings.lane.name)
    for verdict in _earlier(settings):
        board.take(verdict, time.monotonic())
    wanted = None if finals is None else board.finals + finals
    with Live(board.render(time.time_ns(), time.monotonic()), console=Console(), auto_refresh=False) as live:
        while wanted is None or board.finals < wanted:
            received = receive(feed, REFRESH_S)
            while received is not None:
                board.take(received[1], time.monotonic())
                received = receive(feed, 0.0)
            live.update(board.render(time.time_ns(), time.monotonic()), refresh=True)


def _earlier(settings: Config) -> list[Verdict]:
    """The newest verdicts of the journal; none when it is not on this machine."""
    try:
        with JournalReader(settings.state_dir / FILE_NAME) as journal:
            return journal.verdicts(EARLIER)
    except JournalError:
        return []
