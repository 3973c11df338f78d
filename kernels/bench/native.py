"""The probe: a small C++ file, compiled for this very processor when the benchmark runs, where a compiler is found."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.bench.scene import PRIOR, X0_UM, Pixels
from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import Model

_NAMES = ("additions", "multiplications", "divisions", "other", "iterations")
#: The widest vectors that the processor has; 512-bit ones are not used unasked.
_OPTIONS = ("-std=c++17", "-O2", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-shared", "-fPIC", "-w")


class ProbeError(RuntimeError):
    """There is no compiler, or it refused; the message says which."""


class Probe:
    """The compiled probe. Raises :class:`ProbeError`."""

    def __init__(self) -> None:
        compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
        if not compiler:
            raise ProbeError("no C++ compiler (c++ or g++) was found")
        with tempfile.TemporaryDirectory() as folder:
            here = Path(__file__).parent
            built = Path(folder) / "probe.so"
            sources = [f"-I{here.parent / 'cuda'}", str(here / "probe.cpp"), "-o", str(built)]
            result = self._compile([compiler, *_OPTIONS, "-mprefer-vector-width=512", *sources])
            if result.returncode != 0:  # an option of x86-64 only
                result = self._compile([compiler, *_OPTIONS, *sources])
            if result.returncode != 0:
                raise ProbeError(f"{compiler} did not compile the probe: {result.stderr.strip()[:400]}")
            self._library = ctypes.CDLL(str(built))
        self._library.multiply_add.restype = ctypes.c_double

    @staticmethod
    def _compile(command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def multiply_add(self, rounds: int) -> float:
        """Run fused multiply-adds in registers; returns the number of floating-point operations, two for each."""
        out = np.zeros(16, dtype=np.float32)
        return float(self._library.multiply_add(ctypes.c_long(rounds), _pointer(out)))

    def operations(self, pixels: Pixels, model: Model) -> dict[str, float]:
        """Operations for one fit of one bin, means over the first row: what the templates do, counted one by one."""
        packed = checks.curves("curves", pixels.curves)[:, 0]
        y = pixels.samples[:, :, 0] / np.float32(pixels.exposure)  # (4, 2, columns)
        together = BINS if model == "map" else 1
        chosen = np.ascontiguousarray(y[:, :together].transpose(2, 1, 0))
        curves = np.ascontiguousarray(packed[:together])
        counts = np.zeros(len(_NAMES), dtype=np.int64)
        self._library.count_operations(
            ctypes.c_int(checks.model(model)),
            ctypes.c_long(len(chosen)),
            _pointer(chosen),
            ctypes.c_float(pixels.exposure),
            _pointer(curves),
            ctypes.c_float(X0_UM),
            _pointer(checks.prior("prior", PRIOR)),
            _pointer(SETTINGS.vector()),
            _pointer(counts),
        )
        fits = chosen.size / GROUPS
        found = {name: float(count) / fits for name, count in zip(_NAMES, counts, strict=True)}
        found["iterations"] *= together
        return found


def _pointer(array: npt.NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
