"""Who commanded what, when, and how it ended: lines of the lane's audit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge.audit.log import AuditLog
from edge.messages import DeviceCommand

#: Fields of a command that say what is wanted; the ones at their default are left out of a line.
_WANTED = ("bag_id", "encoder_from", "encoder_to", "target", "kv", "ma", "lights", "thresholds_ev", "timeout_s")


#: A beam that must go down does not wait longer for a program that hangs with the lock, s.
PATIENCE_S = 0.2


class Audit:
    """Appends to ``folder``; each line is on disk when :meth:`write` returns. OSError when it cannot be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = AuditLog(folder, PATIENCE_S)

    def write(
        self, phase: str, command: DeviceCommand, device: str, reason: str = "", took_s: float | None = None
    ) -> None:
        """One line. ``phase``: begin, done, failed or refused."""
        line: dict[str, Any] = {
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
        self._log.append(line)
