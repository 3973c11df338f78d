"""Which files are shipped, where they go, and what in them depends on the box."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

#: The path that the shipped units name; ``--prefix`` replaces it.
DEFAULT_PREFIX: Final = "/opt/darklane"
#: Folders of ``systemd/`` and where they go: a place for local software that every systemd tool reads, and that the
#: administrator overrides in /etc.
TARGETS: Final = {
    "system": PurePosixPath("usr/local/lib/systemd/system"),
    "sysctl.d": PurePosixPath("usr/local/lib/sysctl.d"),
    "sysusers.d": PurePosixPath("usr/local/lib/sysusers.d"),
    "tmpfiles.d": PurePosixPath("usr/local/lib/tmpfiles.d"),
    "udev/rules.d": PurePosixPath("usr/local/lib/udev/rules.d"),
    "etc": PurePosixPath("etc/darklane"),
}
#: Written once, then the administrator's.
CONFIGURATION: Final = PurePosixPath("etc/darklane/lane.toml")
MANIFEST: Final = PurePosixPath("usr/local/lib/darklane/install-manifest.json")


class InstallError(RuntimeError):
    """Nothing was changed; the text says why and what to do."""


@dataclass(frozen=True)
class Shipped:
    """One file: ``target`` relative to the root of the file system, and what it holds."""

    target: PurePosixPath
    content: bytes


def folder() -> Path:
    """``systemd/`` of the source tree, or its copy in the installed package."""
    here = Path(__file__).resolve()
    for place in (here.parents[2] / "systemd", here.parent / "files"):
        if (place / "system").is_dir():
            return place
    raise InstallError(f"the unit files are missing ({here.parent / 'files'}); install the darklane package again")


def check_prefix(prefix: str) -> None:
    """InstallError unless unit files can name ``prefix``: absolute, and of plain characters."""
    path = PurePosixPath(prefix)
    if not path.is_absolute() or ".." in path.parts or not all(c.isalnum() or c in "/._+-" for c in prefix):
        raise InstallError(f"--prefix {prefix!r}: give an absolute path of letters, digits and . _ + -")


def shipped(prefix: str, source: Path | None = None) -> list[Shipped]:
    """Every file to install, with ``prefix`` in place of :data:`DEFAULT_PREFIX`; in order of their paths."""
    check_prefix(prefix)
    source = source or folder()
    files = []
    for name, target in TARGETS.items():
        for path in sorted((source / name).rglob("*")):
            if path.is_file():
                content = path.read_bytes().replace(DEFAULT_PREFIX.encode(), prefix.rstrip("/").encode())
                files.append(Shipped(target / path.relative_to(source / name).as_posix(), content))
    return sorted(files, key=lambda file: file.target)
