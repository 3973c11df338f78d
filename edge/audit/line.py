"""One line of the audit: a JSON object with its number, the hash of the line before, and at its end its own.

``{"n": 7, "prev": "<sha256 of line 6>", …, "sha256": "<of all bytes before this field>"}``
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: What the first line of all has as the hash of the one before.
NOTHING: Final = "0" * 64
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_END: Final = re.compile(rb', "sha256": "([0-9a-f]{64})"\}')
_END_BYTES: Final = len(', "sha256": "') + 64 + len('"}')


@dataclass(frozen=True)
class Line:
    """A line that is as it was written. ``torn``: hash of unfinished bytes before it; empty when there were none."""

    n: int
    prev: str
    sha256: str
    torn: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def build(n: int, prev: str, torn: str, values: Mapping[str, Any]) -> bytes:
    """The bytes of a line, without its end."""
    content = {"n": n, "prev": prev, **({"torn": torn} if torn else {}), **values}
    head = json.dumps(content, ensure_ascii=False, allow_nan=False)[:-1].encode()
    return head + f', "sha256": "{digest(head)}"}}'.encode()


def finished(content: bytes) -> bool:
    """Whether it ends as a line does: what power failures leave does not."""
    return _END.fullmatch(content[-_END_BYTES:]) is not None


def parse(content: bytes) -> Line | None:
    """The line in ``content``; None when a single byte is not as it was written."""
    head, end = content[:-_END_BYTES], _END.fullmatch(content[-_END_BYTES:])
    if end is None or digest(head) != end[1].decode():
        return None
    try:
        values = json.loads(head + b"}")
        n, prev, torn = values.pop("n"), values.pop("prev"), values.pop("torn", "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    hashes = [prev, *([torn] if torn else [])]
    if type(n) is not int or n < 1 or not all(isinstance(text, str) and _HASH.fullmatch(text) for text in hashes):
        return None
    return Line(n, prev, end[1].decode(), torn, values)
