"""One CURVE key as a file: text of one exact form, so that a damaged or edited file is never read as another key.

The form is one that ``zmq.auth.load_certificate`` reads too. ``check`` covers the name and the keys.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zmq
from zmq.utils import z85

#: Bytes of a key, and characters of its Z85 text.
KEY_BYTES: Final = 32
KEY_CHARACTERS: Final = 40
MAX_FILE_BYTES: Final = 4096
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_FORM: Final = re.compile(
    r'# Darklane CURVE key\nmetadata\n    name = "(?P<name>[^"\n]*)"\n    check = "(?P<check>[0-9a-f]*)"\ncurve\n'
    r'    public-key = "(?P<public>[^"\n]*)"\n(?:    secret-key = "(?P<secret>[^"\n]*)"\n)?'
)


class KeyFileError(ValueError):
    """A key or its file cannot be used; the message names it and says what to do."""


@dataclass(frozen=True, repr=False)
class Key:
    """A public key with the name of its owner; ``secret`` only where it is one's own. Both as Z85 text."""

    name: str
    public: bytes
    secret: bytes | None = None

    def __repr__(self) -> str:
        # A secret must not end in a log.
        return f"Key({self.name!r}, {self.public.decode()}{', with its secret' if self.secret else ''})"

    @property
    def without_secret(self) -> Key:
        """What may be given away."""
        return Key(self.name, self.public)


def new_key(name: str) -> Key:
    """A new pair."""
    public, secret = zmq.curve_keypair()
    return Key(check_name(name), public, secret)


def check_name(name: str) -> str:
    """``name``, if a key may be called so."""
    if NAME.fullmatch(name) is None:
        raise KeyFileError(f"name {name!r:.80}: give up to 64 letters, digits and . _ - beginning with none of . _ -")
    return name


def check_key(text: bytes) -> bytes:
    """``text``, if it is a key in Z85."""
    try:
        raw = z85.decode(text) if len(text) == KEY_CHARACTERS else b""
        good = len(raw) == KEY_BYTES and z85.encode(raw) == text
    except (KeyError, ValueError, OverflowError, zmq.ZMQError, struct.error):
        good = False
    if not good:
        raise KeyFileError(f"{text[:60]!r} is not a CURVE key ({KEY_CHARACTERS} characters of Z85)")
    return text


def render(key: Key) -> str:
    """The file's text."""
    lines = ["# Darklane CURVE key", "metadata", f'    name = "{key.name}"', f'    check = "{_check(key)}"', "curve"]
    lines.append(f'    public-key = "{key.public.decode()}"')
    if key.secret is not None:
        lines.append(f'    secret-key = "{key.secret.decode()}"')
    return "\n".join(lines) + "\n"


def parse(content: bytes) -> Key:
    """The key of a file's content; :class:`KeyFileError`, which does not name the file, on anything else."""
    try:
        match = _FORM.fullmatch(content.decode("ascii"))
    except UnicodeDecodeError:
        match = None
    if match is None:
        raise KeyFileError("not a key file of Darklane")
    secret = check_key(match["secret"].encode()) if match["secret"] is not None else None
    key = Key(check_name(match["name"]), check_key(match["public"].encode()), secret)
    if match["check"] != _check(key) or (secret is not None and zmq.curve_public(secret) != key.public):
        raise KeyFileError("damaged: its parts do not belong together")
    return key


def read(path: Path, *, private: bool = False) -> Key:
    """The key in ``path``; ``private``: with its secret, and readable by nobody but its owner."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read ({error.strerror})") from error
    if private and mode & 0o077:
        raise KeyFileError(f"{path}: mode {mode:04o} lets others read the secret; chmod 600 it, or make a new key")
    try:
        key = parse(content)
        if private and key.secret is None:
            raise KeyFileError("no secret key in it")
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}; restore it or make a new key") from error
    return key


def write(path: Path, key: Key) -> None:
    """Put ``key`` into ``path`` at once and lastingly; with a secret only the owner can read it."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    # Never readable by others, not even for a moment.
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if key.secret is not None else 0o644)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(render(key))
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    sync(path.parent)


def sync(folder: Path) -> None:
    """Make the names in ``folder`` last."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check(key: Key) -> str:
    text = b"\n".join((key.name.encode(), key.public, key.secret or b""))
    return hashlib.sha256(b"darklane key\n" + text).hexdigest()[:16]
