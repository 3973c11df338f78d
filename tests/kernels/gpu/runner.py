"""Runs one entry point in the g++ shim on NumPy memory."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np


class ShimError(RuntimeError):
    """The shim or a sanitizer ended the kernel; carries what it said."""


def pack(arguments: tuple[Any, ...]) -> bytes:
    """The arguments as the executable reads them. Raises TypeError for a scalar without a type of its own."""
    parts = []
    for a in arguments:
        if isinstance(a, np.ndarray):
            assert a.flags.c_contiguous
            parts.append(b"p" + np.uint64(a.nbytes).tobytes() + a.tobytes())
        elif type(a) in {np.int32, np.float32}:
            parts.append((b"i" if type(a) is np.int32 else b"f") + a.tobytes())
        else:
            raise TypeError(f"{a!r} has no width")
    return b"".join(parts)


def run(executable: Path, folder: Path, name: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
    """Execute a kernel of a shim; its buffers are written back into the arrays. Raises :class:`ShimError`.

    ``folder`` is for the file that the arguments travel in.
    """
    path = folder / "arguments"
    path.write_bytes(pack(arguments))
    words = [str(executable), name, str(blocks), str(threads), str(path)]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ShimError(result.stderr)
    data, at = path.read_bytes(), 0
    for a in arguments:
        if isinstance(a, np.ndarray):
            a[...] = np.frombuffer(data[at : at + a.nbytes], dtype=a.dtype).reshape(a.shape)
            at += a.nbytes
