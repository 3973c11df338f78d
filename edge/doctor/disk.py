"""Room on the disk of the lane, and whether it can be written."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edge.doctor.finding import Finding

SECTION = "disk"
GIB = 1 << 30
#: Below this, bags end as DetectorFault soon: their slabs cannot be spooled.
RED_GIB = 1.0
AMBER_GIB = 10.0


@dataclass(frozen=True)
class Disk:
    """``error``: why nothing can be written; empty when it can."""

    free_bytes: int
    free_files: int
    error: str


def look(folder: Path) -> Disk | None:
    """The file system of ``folder``; None where there is no such folder. Writes and removes one empty file."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    error = ""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as reason:
        error = reason.strerror or str(reason)
    # Some file systems count no files: they report none at all.
    files = status.f_favail if status.f_files else 1 << 30
    return Disk(status.f_bavail * status.f_frsize, files, error)


def check(folder: Path, seen: Disk | None) -> list[Finding]:
    """Two lines: can it be written, and how much room is left."""
    if seen is None:
        do = "systemd-tmpfiles --create darklane.conf, or correct [lane] state_dir; 'darklane run' makes it too"
        return [Finding(SECTION, "state_dir", "red", f"{folder} is not there", do)]
    if seen.error:
        do = "run as root or as the services' user; if they fail too, give the folder to them (systemd-tmpfiles)"
        written = Finding(SECTION, "state_dir", "red", f"{folder} cannot be written: {seen.error}", do)
    else:
        written = Finding(SECTION, "state_dir", "green", f"{folder} can be written")
    free = seen.free_bytes / GIB
    says = f"{free:.1f} GiB free"
    remedy = f"remove old files from {folder / 'archive'}, or give it a larger disk"
    if seen.free_files < 1000:
        room = Finding(SECTION, "room", "red", f"{seen.free_files} more files are possible", remedy)
    elif free < RED_GIB:
        room = Finding(SECTION, "room", "red", f"{says}: bags will be lost", remedy)
    elif free < AMBER_GIB:
        room = Finding(SECTION, "room", "amber", says, remedy)
    else:
        room = Finding(SECTION, "room", "green", says)
    return [written, room]
