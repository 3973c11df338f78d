"""Appends to the audit: one chain for all programs of a lane, a file per month (``audit-YYYY-MM.jsonl``)."""

from __future__ import annotations

import fcntl
import os
import pwd
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from edge.audit import line

FOLDER: Final = "audit"
#: Who holds the lock longer than this hangs, s.
PATIENCE_S: Final = 2.0
_LOOK_S: Final = 0.005
_BLOCK: Final = 1 << 16


class AuditLog:
    """Appends to ``folder``; a line is on disk when :meth:`append` returns. OSError when it cannot be.

    ``patience_s``: how long another program may hold the lock.
    """

    def __init__(self, folder: Path, patience_s: float = PATIENCE_S) -> None:
        self.folder = folder
        self._patience_s = patience_s

    def append(self, values: Mapping[str, Any]) -> line.Line:
        """Write ``values`` (JSON), with the time, as the next line of the chain."""
        self._make_folder()
        with _locked(self.folder, self._patience_s):
            now_ns = time.time_ns()
            found = files(self.folder)
            last, torn = _end(found)
            # A clock that was set back must not put a line before others.
            path = max([self.folder / f"audit-{time.strftime('%Y-%m', time.gmtime(now_ns // 10**9))}.jsonl", *found])
            n, prev = (last.n + 1, last.sha256) if last else (1, line.NOTHING)
            content = line.build(n, prev, line.digest(torn) if torn else "", {"t": _text(now_ns), **values})
            self._write(path, content)
        written = line.parse(content)
        assert written is not None
        return written

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.parent.mkdir(parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o750, exist_ok=True)
            _give(self.folder, self.folder.parent)

    def _write(self, path: Path, content: bytes) -> None:
        is_new = not path.exists()
        # The power went in the middle of a line: what follows is a line of its own again.
        cut = not is_new and _is_cut(path)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            size = os.fstat(fd).st_size
            whole = b"\n" * cut + content + b"\n"
            try:
                if os.write(fd, whole) != len(whole):
                    raise OSError(f"{path}: no room for a whole line")
                os.fsync(fd)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)
        if is_new:
            _give(path, self.folder)
            _sync(self.folder)


@contextmanager
def recorded(state_dir: Path, action: str, *, always: bool = False, **values: str) -> Iterator[None]:
    """A change that somebody makes on the command line: one line before it, and one that says how it ended.

    OSError, and nothing is done, when it cannot be written down. ``always``: what takes rights away is done anyhow.
    """
    log = AuditLog(state_dir / FOLDER)
    told = {"source": "command line", "by": _user(), "action": action, **values}
    try:
        log.append({"phase": "begin", **told})
    except OSError:
        if not always:
            raise
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            log.append({"phase": "failed", **told, "reason": str(error) or type(error).__name__})
        raise
    with suppress(OSError):
        log.append({"phase": "done", **told})


def files(folder: Path) -> list[Path]:
    """The files of the audit, the oldest first."""
    return sorted(folder.glob("audit-????-??.jsonl"))


def _end(found: list[Path]) -> tuple[line.Line | None, bytes]:
    """The last line that is as it was written, and the unfinished bytes that a power failure left behind it."""
    torn: list[bytes] = []
    # What has a line end was not cut: if it is no line, somebody else wrote it, and it stays unexplained.
    looking = any(_is_cut(path) for path in found[-1:])
    for path in reversed(found):
        for content in _backwards(path):
            looking = looking and not line.finished(content)
            if looking:
                torn.append(content)
                continue
            known = line.parse(content)
            if known is not None:
                return known, b"\n".join(reversed(torn))
    return None, b"\n".join(reversed(torn))


def _is_cut(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return size > 0 and file.read(1) != b"\n"


def _backwards(path: Path) -> Iterator[bytes]:
    """The lines of ``path``, the last one first."""
    with path.open("rb") as file:
        place = file.seek(0, os.SEEK_END)
        rest, first = b"", True
        while place:
            step = min(_BLOCK, place)
            place -= step
            file.seek(place)
            rest, *whole = (file.read(step) + rest).split(b"\n")
            if first and whole and not whole[-1]:
                whole.pop()
            first = first and not whole
            yield from reversed(whole)
        if rest:
            yield rest


@contextmanager
def _locked(folder: Path, patience_s: float) -> Iterator[None]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(f"{folder}: another program has held its lock for {patience_s:g} s") from None
                time.sleep(_LOOK_S)
        yield
    finally:
        os.close(fd)


def _give(path: Path, to_owner_of: Path) -> None:
    """What root makes here must be writable for the services."""
    if os.geteuid() == 0:
        owner = to_owner_of.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _user() -> str:
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    asked = os.environ.get("SUDO_USER", "")
    return f"{name} (sudo of {asked})" if asked else name


def _text(t_ns: int) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(t_ns // 10**9))}.{t_ns // 10**6 % 1000:03d}Z"
