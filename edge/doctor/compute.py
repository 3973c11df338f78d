"""GPU and the libraries that use it. A box without them computes on its processor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edge.doctor.finding import Finding

SECTION = "compute"
#: Files that say which GPU driver a PC, or which release of the system a Jetson has.
DRIVERS = ("proc/driver/nvidia/version", "etc/nv_tegra_release")
CUPY = ("cupy", "cupy-cuda12x", "cupy-cuda13x")
TENSORRT = ("tensorrt",)


@dataclass(frozen=True)
class Compute:
    """First line of the driver's file and versions of the libraries; empty: absent."""

    driver: str
    cupy: str
    tensorrt: str


def look(root: Path = Path("/"), version: Callable[[str], str] = metadata.version) -> Compute:
    """What is installed here."""

    def first(names: tuple[str, ...]) -> str:
        for name in names:
            try:
                return version(name)
            except metadata.PackageNotFoundError:
                continue
        return ""

    driver = ""
    for file in DRIVERS:
        try:
            lines = (root / file).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        driver = driver or (lines[0].strip() if lines else "")
    return Compute(driver, first(CUPY), first(TENSORRT))


def check(seen: Compute, backend: str) -> list[Finding]:
    """``backend``: [retrieval] backend; ``cuda`` makes what is missing red."""
    wanted = backend == "cuda"
    extra = "pip install 'darklane[jetson]' into the environment of the services"
    if not seen.driver:
        do = "install the GPU driver (JetPack on a Jetson), or set [retrieval] backend = 'auto'" if wanted else ""
        gpu = Finding(SECTION, "GPU", "red" if wanted else "grey", "no GPU driver; the processor computes", do)
    else:
        gpu = Finding(SECTION, "GPU", "green", seen.driver)
    found = [gpu]
    for name, version in (("CuPy", seen.cupy), ("TensorRT", seen.tensorrt)):
        needed = wanted and name == "CuPy"
        if version:
            found.append(Finding(SECTION, name, "green", version))
        elif needed or (seen.driver and name == "CuPy"):
            says = "not installed: the GPU is not used"
            found.append(Finding(SECTION, name, "red" if needed else "amber", says, extra))
        else:
            found.append(Finding(SECTION, name, "grey", "not installed"))
    return found
