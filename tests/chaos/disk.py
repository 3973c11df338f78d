"""A state directory on a disk that can be filled: a small tmpfs, or, where that is not allowed, a file size limit.

The tmpfs refuses with ENOSPC like any full disk. It is mounted in a mount namespace of this process and goes with
it. Without the right to make one, RLIMIT_FSIZE of the running services lets no file grow: the kernel refuses the
same writes with EFBIG.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK: Final = "--in-namespace"
#: Larger than all that a chaos run keeps (archive files are removed as it goes).
SIZE_MIB: Final = 192
_LIMIT_BYTES: Final = 4096


def enter_namespace(module: str, arguments: Sequence[str]) -> None:
    """Start this program again in a mount namespace of its own; returns when that is not allowed."""
    unshare = shutil.which("unshare")
    if unshare is None or not sys.platform.startswith("linux"):
        return
    spaces = ["--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--mount"]
    probe = [unshare, *spaces, "mount", "-t", "tmpfs", "-o", "size=64k", "none", "/mnt"]
    if subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        os.execv(unshare, [unshare, *spaces, sys.executable, "-m", module, MARK, *arguments])  # noqa: S606


class SmallDisk:
    """``folder`` on a tmpfs of SIZE_MIB, if ``namespace``; :meth:`fill` and :meth:`free` it."""

    def __init__(self, folder: Path, *, namespace: bool) -> None:
        self.folder = folder
        self.real = namespace
        self.full = False
        self._filler = folder / "filler"
        if namespace:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m", "none", str(folder)]
            subprocess.run(mount, check=True)

    @property
    def name(self) -> str:
        """How the disk is made full."""
        return f"tmpfs of {SIZE_MIB} MiB" if self.real else "file size limit"

    def fill(self, pids: Iterable[int]) -> None:
        """From now on nothing can be written by these processes."""
        self.full = True
        if not self.real:
            self._limit(pids, _LIMIT_BYTES)
            return
        with self._filler.open("ab", buffering=0) as file, suppress(OSError):
            for size in (1 << 20, 4096, 1):
                with suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass

    def free(self, pids: Iterable[int]) -> None:
        """Space again."""
        self.full = False
        if not self.real:
            self._limit(pids, resource.RLIM_INFINITY)
            return
        self._filler.unlink(missing_ok=True)

    @staticmethod
    def _limit(pids: Iterable[int], size: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
