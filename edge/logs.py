"""How services log: one line per record on stderr, which journald takes with its priority.

A message about one bag says ``bag %s`` with the bag id as its value, or gives ``extra={"bag_id": …}``: from there the
id comes into the field ``bag=`` (docs/reference/logs.md).
"""

from __future__ import annotations

import logging
import os
import re
import sys
from typing import Final, TextIO

#: Priorities of syslog, which sd-daemon(3) reads at the beginning of a line.
_PRIORITY: Final = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG: Final = 7
_CONVERSION: Final = re.compile(r"%(?:\((?P<name>\w+)\))?[-+ #0]*\d*(?:\.\d+)?[a-zA-Z%]")
_BAG: Final = re.compile(r"\bbag %s")
#: As edge.messages has it; what is not one is no field.
_BAG_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")

#: What would end a line, or do something to the terminal that shows it.
_ONE_LINE: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


class LineFormatter(logging.Formatter):
    """``journal``: journald reads it, so priority instead of time."""

    def __init__(self, service: str, *, journal: bool) -> None:
        super().__init__("%(message)s")
        self._service = service
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the message and the traceback have in them."""
        bag_id = bag_of(record)
        head = f"{self._service} {record.levelname}{f' bag={bag_id}' if bag_id else ''} "
        text = (head + super().format(record)).translate(_ONE_LINE)
        if self._journal:
            return f"<{_priority(record.levelno)}>{text}"
        return f"{self.formatTime(record)} {text}"


def bag_of(record: logging.LogRecord) -> str:
    """The bag that the record is about, empty when it is about none; of several the first."""
    given = str(getattr(record, "bag_id", ""))
    if _BAG_ID.fullmatch(given):
        return given
    found = _BAG.search(str(record.msg))
    if found is None or not isinstance(record.args, tuple):
        return ""
    before = [m for m in _CONVERSION.finditer(str(record.msg)[: found.end()]) if not m[0].endswith("%")]
    value = str(record.args[len(before) - 1]) if len(before) <= len(record.args) else ""
    return value if _BAG_ID.fullmatch(value) else ""


def set_up(service: str) -> None:
    """Log to stderr; the level is that of DARKLANE_LOG."""
    stream = sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter(service, journal=is_journal(stream)))
    logging.basicConfig(level=os.environ.get("DARKLANE_LOG", "INFO"), handlers=[handler])


def is_journal(stream: TextIO) -> bool:
    """Whether journald reads ``stream``: systemd names its device and inode (systemd.exec(5), $JOURNAL_STREAM)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM", "") == f"{status.st_dev}:{status.st_ino}"


def _priority(level: int) -> int:
    return next((priority for lowest, priority in _PRIORITY if level >= lowest), _DEBUG)
