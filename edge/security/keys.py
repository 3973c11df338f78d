"""The keys of one lane in ``<state_dir>/keys``: its own, those of clients that it admits, and those that it once did.

server.key_secret   the box's own pair, mode 0600      clients/NAME.key   admitted
server.key          its public key, to give away       revoked/NAME.key   refused, and called by its name
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from zmq.utils import z85

from edge.security import key_file
from edge.security.key_file import Key, KeyFileError

FOLDER: Final = "keys"
SERVER: Final = "server"
SUFFIX: Final = ".key"
PAIR_SUFFIX: Final = ".key_secret"


@dataclass(frozen=True)
class Admitted:
    """Raw public keys and the names that they go by. ``damaged``: what is wrong with files that are ignored."""

    allowed: Mapping[bytes, str] = field(default_factory=dict)
    revoked: Mapping[bytes, str] = field(default_factory=dict)
    damaged: tuple[str, ...] = ()


class KeyStore:
    """The keys in ``folder``. Whole files are put in place or moved, so that a reader never sees half of one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients = folder / "clients"
        self.revoked = folder / "revoked"
        self.secret_file = folder / f"{SERVER}{PAIR_SUFFIX}"
        self.public_file = folder / f"{SERVER}{SUFFIX}"

    def server(self) -> Key:
        """The box's own pair; :class:`KeyFileError` where there is none or others can read it."""
        try:
            return key_file.read(self.secret_file, private=True)
        except KeyFileError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise KeyFileError(f"{self.secret_file}: the box has no key; make one with 'darklane keys new'") from None

    def new_server(self, *, replace: bool = False) -> Key:
        """Make the box's own pair. With ``replace`` a new one: every client then needs the new public key."""
        if self.secret_file.exists() and not replace:
            raise KeyFileError(f"{self.secret_file}: the box has a key; --replace makes a new one, for every client")
        self._folder(self.folder)
        key = key_file.new_key(SERVER)
        key_file.write(self.secret_file, key)
        key_file.write(self.public_file, key.without_secret)
        return key

    def allow(self, name: str, public: bytes) -> Key:
        """Admit the client with this public key from now on."""
        key = Key(key_file.check_name(name), key_file.check_key(public))
        path = self._file(self.clients, name)
        known = self.admitted()
        other = known.allowed.get(z85.decode(public))
        if other is not None and other != name:
            raise KeyFileError(f"this key is allowed already, as {other!r}; each client has one of its own")
        if path.exists() and other is None:
            raise KeyFileError(f"{path}: {name!r} has another key; 'darklane keys revoke {name}' first")
        self._folder(self.clients)
        key_file.write(path, key)
        for file in self.revoked.glob(f"*{SUFFIX}"):
            if self._public(file) == public:
                file.unlink()
        return key

    def revoke(self, name: str) -> None:
        """Admit it no longer; the gateway ends its connections within half a second."""
        path = self._file(self.clients, name)
        if not path.exists():
            names = ", ".join(sorted(file.stem for file in self.clients.glob(f"*{SUFFIX}"))) or "none"
            raise KeyFileError(f"no key is allowed as {name!r}; allowed are: {names}")
        self._folder(self.revoked)
        path.replace(self._file(self.revoked, name))
        key_file.sync(self.clients)
        key_file.sync(self.revoked)

    def admitted(self) -> Admitted:
        """What the folders say now. A file that is not as it was written admits nobody."""
        damaged: list[str] = []
        allowed = self._names(self.clients, damaged)
        revoked = self._names(self.revoked, damaged)
        return Admitted(allowed, {raw: name for raw, name in revoked.items() if raw not in allowed}, tuple(damaged))

    def marks(self) -> tuple[object, ...]:
        """Changes whenever a key file may have; cheap enough to be asked for often."""
        found: list[object] = []
        for path in (self.secret_file, *self._files(self.clients), *self._files(self.revoked)):
            try:
                status = path.stat()
            except OSError:
                found.append((str(path), None))
                continue
            found.append((str(path), status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode))
        return tuple(found)

    def _names(self, folder: Path, damaged: list[str]) -> dict[bytes, str]:
        names: dict[bytes, str] = {}
        for path in self._files(folder):
            try:
                key = key_file.read(path)
                if key.name != path.stem or key.secret is not None:
                    raise KeyFileError(f"{path}: it is the public key of {key.name!r}'s that belongs here")
            except KeyFileError as error:
                damaged.append(str(error))
            else:
                names.setdefault(z85.decode(key.public), key.name)
        return names

    @staticmethod
    def _files(folder: Path) -> list[Path]:
        try:
            return sorted(path for path in folder.iterdir() if path.suffix == SUFFIX)
        except OSError:
            # Not there, or not to be read: nobody is admitted.
            return []

    @staticmethod
    def _public(path: Path) -> bytes | None:
        try:
            return key_file.read(path).public
        except KeyFileError:
            return None

    @staticmethod
    def _file(folder: Path, name: str) -> Path:
        return folder / f"{key_file.check_name(name)}{SUFFIX}"

    def _folder(self, folder: Path) -> None:
        # `parents` would make the ones between with other rights.
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        for made in (self.folder, folder):
            made.mkdir(mode=0o700, exist_ok=True)
