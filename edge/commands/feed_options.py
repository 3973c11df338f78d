"""Where commands find the feed: the lane on this computer, or a gateway's address and keys."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.client import KeyFileError, Keys
from edge.commands.options import fail
from edge.config import Config

FeedOption = Annotated[
    str, typer.Option("--feed", help="A gateway's feed, e.g. tcp://lane-1:7150.", show_default="the lane's own")
]
RequestsOption = Annotated[
    str, typer.Option("--requests", help="And its request endpoint, to fill gaps.", show_default="none")
]
ServerKeyOption = Annotated[
    Path | None, typer.Option("--server-key", help="The box's public key file.", show_default="no encryption")
]
KeyOption = Annotated[
    Path | None, typer.Option("--key", help="Your own .key_secret file; `darklane keys new NAME` makes it.")
]


def local(settings: Config) -> str:
    """The lane's own feed on this computer."""
    return f"ipc://{settings.run_dir.resolve() / 'feed'}"


def read_keys(server_key: Path | None, own_key: Path | None) -> Keys | None:
    """Keys of the command line; ends the command when one is missing or cannot be read."""
    if server_key is None and own_key is None:
        return None
    if server_key is None or own_key is None:
        fail("--server-key and --key belong together: the box's public key, and your own pair")
    try:
        return Keys.load(server_key, own_key)
    except KeyFileError as error:
        fail(str(error))
