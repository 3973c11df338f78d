"""What the stand-in offers, looked up in the real CuPy; ``python -m tests.kernels.gpu.cupy_names`` writes the list.

CuPy is too large to install for every test run and imports without a GPU, so the list is made where it is installed and
checked in; the tests hold the stand-in against the list.
"""

from __future__ import annotations

import inspect
import json
import re
from operator import attrgetter
from pathlib import Path
from typing import Any

NAMES = Path(__file__).with_name("cupy_names.json")
#: Classes of the stand-in by what they are called in CuPy.
CLASSES = {
    "ndarray": "DeviceArray",
    "RawModule": "RawModule",
    "RawKernel": "RawKernel",
    "cuda.Event": "Event",
    "cuda.MemoryPointer": "MemoryPointer",
    "cuda.Stream": "Stream",
}
FUNCTIONS = (
    "empty",
    "cuda.alloc_pinned_memory",
    "cuda.get_elapsed_time",
    *(f"cuda.runtime.{n}" for n in ("getDeviceCount", "getDeviceProperties", "runtimeGetVersion", "driverGetVersion")),
)
#: Members of the stand-in that are its own business, and those that every Python class has.
OWN = frozenset({"machine", "work", "enqueue", "run", "milliseconds_to"})
#: Special methods that the back end uses.
SPECIAL = frozenset({"__enter__", "__exit__", "__getitem__", "__call__"})
#: CuPy's compiled functions have no signature, but a first line of documentation with one.
_FIRST_LINE = re.compile(r"^[\w.]+\((.*?)\)(?: ->|$)", re.MULTILINE)


def offered(standin: Any) -> list[str]:
    """Dotted names, as in CuPy, of all that a module of the stand-in offers."""
    names = list(FUNCTIONS)
    for real, own in CLASSES.items():
        members = vars(getattr(standin, own))
        public = (m for m in members if (not m.startswith("_") or m in SPECIAL) and m not in OWN)
        names += [real, *(f"{real}.{m}" for m in public)]
    return sorted(names)


def _parameters(thing: Any) -> list[str] | None:
    """Names of the parameters of a function of CuPy, without ``self``; None when it does not say."""
    try:
        return [p for p in inspect.signature(thing).parameters if p != "self"]
    except (TypeError, ValueError):
        line = _FIRST_LINE.search(thing.__doc__ or "") if callable(thing) else None
    if line is None:
        return None
    words = [w.split("=")[0].strip() for w in line[1].split(",")]
    return [w.split()[-1].lstrip("*") for w in words if w and w != "self" and w.split()[-1].lstrip("*\\")]


def look_up(cupy: Any, names: list[str]) -> dict[str, list[str] | None]:
    """Parameters of every name. Raises AttributeError for one that CuPy does not have."""
    return {name: _parameters(attrgetter(name)(cupy)) for name in names}


def main() -> None:
    """Write the list from the CuPy that is installed."""
    import cupy

    from tests.kernels.gpu import cupy_standin

    found = {"version": cupy.__version__, "names": look_up(cupy, offered(cupy_standin))}
    NAMES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
