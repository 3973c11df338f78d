"""Lines between the lane and the detector's command port, the same on both sides (docs/reference/detector-control.md).

One JSON object per line, UTF-8, ended by a line feed. Strict: bounded length, no key twice, no NaN.
"""

from __future__ import annotations

import json
from typing import Final, NoReturn

PROTOCOL: Final = 1
#: Longest line, its end included, bytes.
MAX_LINE: Final = 2048
#: Largest request number; the next one is 1 again.
MAX_ID: Final = 2**31 - 1
COMMANDS: Final = ("hello", "configure", "settings", "start", "stop", "status", "reset_fault")


class LineError(ValueError):
    """A line is too long or is not the JSON object it should be."""


def encode(message: dict[str, object]) -> bytes:
    """``message`` as one line; :class:`LineError` when it does not fit."""
    try:
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode("ascii") + b"\n"
    except (TypeError, ValueError) as error:
        raise LineError(f"{message!r:.120} cannot be a line ({error})") from error
    if len(line) > MAX_LINE:
        raise LineError(f"{message!r:.120} is {len(line)} bytes long; a line has {MAX_LINE} at most")
    return line


def parse(line: bytes) -> dict[str, object]:
    """The object in ``line`` (without its end); :class:`LineError` for anything else."""
    try:
        value = json.loads(line.decode("utf-8"), object_pairs_hook=_object, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise LineError(f"{line!r:.120} is no JSON object ({error})") from error
    if not isinstance(value, dict):
        raise LineError(f"{line!r:.120} is not a JSON object")
    return value


class LineSplitter:
    """Bytes in any portions to complete lines, without their ends."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Lines completed by ``data``. :class:`LineError` when one grows too long; begin anew then."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        if any(len(line) >= MAX_LINE for line in (*lines, self._buffer)):
            self._buffer = b""
            raise LineError(f"a line is longer than {MAX_LINE} bytes")
        return lines


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key appears twice")
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
