"""``darklane keys``: who may read what leaves the box. The gateway follows a change within half a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table
from zmq.utils import z85

from edge.audit.log import recorded
from edge.commands import options
from edge.commands.options import ConfigOption, JsonOption, StateDirOption, configuration, fail
from edge.security import key_file
from edge.security.key_file import KeyFileError
from edge.security.keys import FOLDER, KeyStore

app = typer.Typer(help="Keys of the feed's clients: new, allow, revoke, list.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="What the client is called here, e.g. sorter-2.")]


def _store(config: Path | None, state_dir: Path | None) -> KeyStore:
    return KeyStore(configuration(config, state_dir).state_dir / FOLDER)


@app.command()
def new(
    client: Annotated[
        str | None, typer.Argument(help="Make a pair for this client instead, into the present folder.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder for a client's files.")] = Path(),
    replace: Annotated[bool, typer.Option("--replace", help="Make a new one where the box has a key.")] = False,
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Make the box's own key, or with a name the pair of a client, best on the client's own computer."""
    try:
        if client is not None:
            _new_client(client, out)
            return
        store = _store(config, state_dir)
        with recorded(store.folder.parent, "keys new", replaces="yes" if replace else "no"):
            key = store.new_server(replace=replace)
    except (KeyFileError, OSError) as error:
        fail(str(error), 1)
    typer.echo(f"public key of this box: {key.public.decode()}")
    typer.echo(f"give {store.public_file} to every client; {store.secret_file} stays here")


def _new_client(name: str, folder: Path) -> None:
    key = key_file.new_key(name)
    secret, public = folder / f"{name}.key_secret", folder / f"{name}.key"
    for path in (secret, public):
        if path.exists():
            raise KeyFileError(f"{path} exists; remove it, or give another name or --out")
    key_file.write(secret, key)
    key_file.write(public, key.without_secret)
    typer.echo(f"{secret} is for the client alone")
    typer.echo(f"on the box: darklane keys allow {name} {public}")


@app.command()
def allow(
    name: NameArgument,
    key: Annotated[str, typer.Argument(help="The client's public key: its .key file, or the 40 characters.")],
    config: ConfigOption = None,
    state_dir: StateDirOption = None,
) -> None:
    """Let the client with this public key read the feed."""
    try:
        public = _public(key)
        store = _store(config, state_dir)
        with recorded(store.folder.parent, "keys allow", name=name, public_key=public.decode()):
            store.allow(name, public)
    except (KeyFileError, OSError) as error:
        fail(str(error), 1)
    typer.echo(f"{name} is allowed: {public.decode()}")


@app.command()
def revoke(name: NameArgument, config: ConfigOption = None, state_dir: StateDirOption = None) -> None:
    """Let it read no longer. Its connections end; those of the others are made anew by themselves."""
    try:
        store = _store(config, state_dir)
        with recorded(store.folder.parent, "keys revoke", always=True, name=name):
            store.revoke(name)
    except (KeyFileError, OSError) as error:
        fail(str(error), 1)
    typer.echo(f"{name} is revoked")


@app.command("list")
def list_(config: ConfigOption = None, state_dir: StateDirOption = None, json_: JsonOption = False) -> None:
    """Show the box's public key, and who is and who was allowed. Exit code 1 when a file is damaged."""
    store = _store(config, state_dir)
    known, trouble = store.admitted(), []
    server = ""
    try:
        server = store.server().public.decode()
    except KeyFileError as error:
        trouble.append(str(error))
    trouble += known.damaged
    rows = [
        {"name": name, "state": state, "key": z85.encode(raw).decode()}
        for state, keys in (("allowed", known.allowed), ("revoked", known.revoked))
        for raw, name in sorted(keys.items(), key=lambda item: item[1])
    ]
    if json_:
        typer.echo(json.dumps({"server": server, "clients": rows, "trouble": trouble}))
    else:
        table = Table(box=None, pad_edge=False, title=f"public key of this box: {escape(server) or 'none'}")
        for heading in ("client", "state", "public key"):
            table.add_column(heading, no_wrap=True)
        for row in rows:
            # Z85 has square brackets, which rich would read as markup.
            table.add_row(row["name"], row["state"], escape(row["key"]))
        console = options.console()
        console.print(table)
        for line in trouble:
            console.print(line, style="bold red", markup=False, highlight=False)
    if known.damaged:
        raise typer.Exit(1)


def _public(text: str) -> bytes:
    """The public key in a file, or what was typed."""
    if len(text) == key_file.KEY_CHARACTERS and not Path(text).exists():
        return key_file.check_key(text.encode())
    key = key_file.read(Path(text))
    if key.secret is not None:
        raise KeyFileError(f"{text} holds a secret key, which must stay with the client; give its .key file")
    return key.public
