"""Files that were made on this device and hold on no other: TensorRT engines, its timings, and what was refused.

One line of JSON (format, key, digest), then the content. A file whose key is another one is stale: the reader is told
what differs. Writing replaces the whole file or nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

#: Raised whenever the first line changes its meaning.
FORMAT = "darklane-engine/1"
#: No first line is longer.
_HEADER_BYTES = 16 << 10

Key = Mapping[str, str]


class StaleFile(ValueError):  # noqa: N818
    """A file is there, but not for this machine, software or graph, or it is damaged; the message says which."""


def load(path: Path, key: Key) -> bytes | None:
    """Content of ``path``, None when there is no such file; :class:`StaleFile` when it must not be used."""
    try:
        with path.open("rb") as file:
            line, content = file.readline(_HEADER_BYTES), file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StaleFile(f"{path} cannot be read ({error.strerror})") from error
    try:
        header = json.loads(line)
        known, stored, digest = header["format"], dict(header["key"]), header["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise StaleFile(f"{path} is damaged (first line)") from error
    if known != FORMAT:
        raise StaleFile(f"{path} has format {known!r}, this software reads {FORMAT!r}")
    differs = [
        f"{name} {stored.get(name, 'unknown')} (here {key.get(name, 'unknown')})"
        for name in sorted({*stored, *key})
        if stored.get(name) != key.get(name)
    ]
    if differs:
        raise StaleFile(f"{path} was made for {', '.join(differs)}")
    if hashlib.sha256(content).hexdigest() != digest:
        raise StaleFile(f"{path} is damaged ({len(content)} bytes do not have the digest of its first line)")
    return content


def store(path: Path, key: Key, content: bytes) -> None:
    """Write ``content`` for ``key``; OSError when the folder cannot be written, and then nothing has changed."""
    header = {"format": FORMAT, "key": dict(key), "sha256": hashlib.sha256(content).hexdigest()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(header, sort_keys=True).encode() + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
