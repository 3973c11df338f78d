"""The wall clock of the lane's services, which can be stepped while they run; all their other clocks go on.

A small C library (``wall_clock.c``) is loaded into each of them. (libfaketime 0.9.10 would be the tool for it, but once
the wall clock was stepped every ``time.sleep`` of Python fails with EINVAL, also with its monotonic clock left alone.)
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("wall_clock.c")


class WallClock:
    """``environment`` is for the services. Where no C compiler is, :attr:`missing` says so; nothing can be stepped."""

    def __init__(self, folder: Path) -> None:
        """``folder``: on a disk that nobody fills."""
        self.offset_s = 0.0
        self.environment: dict[str, str] = {}
        self.missing = ""
        compiler = shutil.which("cc")
        if compiler is None:
            self.missing = "no C compiler"
            return
        library, offset = folder / "wall_clock.so", folder / "wall_clock.offset"
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(_SOURCE)], check=True)
        offset.write_bytes(bytes(8))
        with offset.open("r+b") as file:
            self._page = mmap.mmap(file.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(offset)}

    def step(self, seconds: float) -> None:
        """From now on the services read a wall clock that is so much further."""
        self.offset_s += seconds
        self._page[:] = struct.pack("=q", round(self.offset_s * 1e9))
