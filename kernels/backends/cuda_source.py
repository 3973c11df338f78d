"""What is compiled for a GPU and how: entry points, options and the text that the compiler gets."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from kernels.settings import SETTINGS

#: Source file of every entry point.
ENTRIES = {
    "retrieve": ("prepare_curves", "retrieve_paper", "retrieve_full", "retrieve_map"),
    "phase_sums": ("phase_sums", "take_sums"),
    "ratios": ("ratio_images",),
    "curve_fit": ("fit_curves",),
    "correct": ("correct_frames",),
    "stepped": ("retrieve_stepped_full", "retrieve_stepped_map"),
    "sinusoid": ("retrieve_sinusoid",),
}
#: The constants of the kernels, to the last bit, for `settings()` of settings.cuh.
CONSTANTS = "-DDARKLANE_SETTINGS=" + ",".join(f"{float(value).hex()}f" for value in SETTINGS.vector())
#: Threads of a block: the retrieval needs many registers, more threads would not be resident.
BLOCK = 128


@dataclass(frozen=True)
class Source:
    """One .cu file as CuPy gets it."""

    code: str
    options: tuple[str, ...]


def folder() -> Path:
    """Where the sources lie. They must be plain files, because the compiler opens the headers itself."""
    return Path(str(files("kernels") / "cuda"))


def source(name: str) -> Source:
    """The file ``name``.cu; compiler errors point into it.

    CuPy's cache of compiled code looks at the text and the options, not at the headers that the text includes: a digest
    of all files is among the options, or an upgrade would go on running what an older one compiled.
    """
    at = folder()
    digest = hashlib.sha256()
    for path in sorted(at.glob("*.cu*")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    code = f'#line 1 "{name}.cu"\n' + (at / f"{name}.cu").read_text(encoding="utf-8")
    return Source(code, ("-std=c++17", f"-I{at}", CONSTANTS, f"-DDARKLANE_SOURCE=0x{digest.hexdigest()[:16]}"))
