"""Are the gateway's keys there, and can nobody else read or change them?"""

from __future__ import annotations

import stat
from pathlib import Path

from edge.config import Gateway
from edge.doctor.accounts import Account
from edge.doctor.finding import Finding
from edge.security.key_file import KeyFileError
from edge.security.keys import KeyStore

SECTION = "keys"


def check(settings: Gateway, store: KeyStore, account: Account) -> list[Finding]:
    """Findings about ``store``; one grey line where nothing is offered to other computers."""
    if not settings.enabled or not settings.addresses:
        return [Finding(SECTION, "gateway", "grey", "offers nothing: no address in [gateway]")]
    if not settings.curve:
        where = ", ".join(settings.addresses.values())
        return [
            Finding(SECTION, "gateway", "amber", f"{where}: every user of this box can read it", "set curve = true")
        ]
    return [_server(store, account), _clients(store), *_others(store, account)]


def _server(store: KeyStore, account: Account) -> Finding:
    try:
        key = store.server()
    except KeyFileError as error:
        do = "run 'darklane keys new' as the services' user, or correct what it says"
        return Finding(SECTION, "box", "red", str(error), do)
    # Made by root, for example, they are of no use to the gateway.
    closed = [path for path in (store.folder, store.clients, store.secret_file) if not _readable(path, account)]
    if closed:
        says = f"user {account.name} cannot read {', '.join(map(str, closed))}"
        return Finding(SECTION, "box", "red", says, f"chown -R {account.name}: {store.folder}")
    return Finding(SECTION, "box", "green", f"public key {key.public.decode()}")


def _readable(path: Path, account: Account) -> bool:
    try:
        return account.may(path.stat(), write=False)
    except FileNotFoundError:
        return True


def _clients(store: KeyStore) -> Finding:
    known = store.admitted()
    if known.damaged:
        return Finding(
            SECTION, "clients", "red", "; ".join(known.damaged), "remove the file, or allow the client again"
        )
    says = f"{len(known.allowed)} allowed, {len(known.revoked)} revoked"
    if not known.allowed:
        return Finding(SECTION, "clients", "amber", f"{says}: nobody can read the feed", "darklane keys allow NAME KEY")
    return Finding(SECTION, "clients", "green", says)


def _others(store: KeyStore, account: Account) -> list[Finding]:
    """Folders and files that somebody else could change: whoever writes there admits whom they like."""
    found = []
    for path in _everything(store.folder):
        try:
            status = path.lstat()
        except OSError:
            continue
        mode = stat.S_IMODE(status.st_mode)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            says = f"{path}, mode {mode:04o}: others can change it"
            found.append(Finding(SECTION, "rights", "red", says, f"chmod go-w {path}"))
        elif status.st_uid not in (0, account.uid):
            says = f"{path} belongs to user {status.st_uid}"
            found.append(Finding(SECTION, "rights", "red", says, f"chown {account.name} {path}"))
    return found or [Finding(SECTION, "rights", "green", f"only its owner can change {store.folder}")]


def _everything(folder: Path) -> list[Path]:
    return [folder, *sorted(folder.rglob("*"))] if folder.is_dir() else []
