"""Who commanded what, when, and how it ended: JSON lines, one file per month, only ever appended to."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from edge.messages import DeviceCommand

#: Fields of a command that say what is wanted; the ones at their default are left out of a line.
_WANTED = ("bag_id", "encoder_from", "encoder_to", "target", "kv", "ma", "lights", "thresholds_ev", "timeout_s")


class Audit:
    """Appends to ``folder``; each line is on disk when :meth:`write` returns. OSError when it cannot be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(
        self, phase: str, command: DeviceCommand, device: str, reason: str = "", took_s: float | None = None
    ) -> None:
        """One line. ``phase``: begin, done, failed or refused."""
        now = time.time_ns()
        line: dict[str, Any] = {
            "t": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 1_000_000_000))
            + f".{now // 1_000_000 % 1000:03d}Z",
            "phase": phase,
            "source": command.source or "unknown",
            "boot_id": command.boot_id,
            "command_id": command.command_id,
            "device": device,
            "action": command.action,
        }
        fields = type(command).model_fields
        line |= {name: getattr(command, name) for name in _WANTED if getattr(command, name) != fields[name].default}
        if reason:
            line["reason"] = reason
        if took_s is not None:
            line["took_ms"] = round(took_s * 1e3, 1)
        self._append(
            json.dumps(line, ensure_ascii=False) + "\n", time.strftime("%Y-%m", time.gmtime(now // 1_000_000_000))
        )

    def _append(self, line: str, month: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"commands-{month}.jsonl"
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                # The power went in the middle of a line: what follows is a line of its own again.
                line = "\n" + line
            os.write(fd, line.encode())
            os.fsync(fd)
        finally:
            os.close(fd)
