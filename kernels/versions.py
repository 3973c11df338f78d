"""Versions of everything that computes: this package, its compiler, the libraries, and CUDA where there is one."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

from kernels import _host
from kernels.backends import backends
from kernels.backends.host import instruction_sets

#: What compilers write into the files that they make.
_COMPILER = re.compile(rb"(GCC: \([^)\0]*\) [0-9.]+|clang version [0-9][^\0]*)")
#: Libraries, and the distributions that they come in where the name is another one.
_LIBRARIES = {
    "darklane": ("darklane",),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "cupy": ("cupy", "cupy-cuda12x", "cupy-cuda13x"),
    "numba": ("numba",),
    "matplotlib": ("matplotlib",),
}


def compiler() -> str:
    """Compiler of the host kernels, as it signed the compiled module; `unknown` when that was stripped."""
    path = getattr(_host, "__file__", None)
    found = _COMPILER.findall(Path(path).read_bytes()) if path else []
    # The start-up files of the C library may be signed by another one; our objects outnumber them.
    return max(set(found), key=found.count).decode("ascii", "replace") if found else "unknown"


def versions() -> dict[str, Any]:
    """Names and versions; None for an optional library that is not installed."""
    found: dict[str, Any] = {"python": platform.python_version()}
    for name, distributions in _LIBRARIES.items():
        found[name] = _version(distributions)
    found["compiler"] = compiler()
    found["instruction_sets"] = list(instruction_sets())
    if "cuda" in backends():
        found["cuda"] = _cuda()
    return found


def _version(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def _cuda() -> dict[str, Any]:
    import cupy  # noqa: PLC0415 - optional, and slow to import

    runtime: Any = cupy.cuda.runtime
    properties = runtime.getDeviceProperties(0)
    return {
        "device": properties["name"].decode(),
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "runtime": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
    }
