"""The machine: what it is, and the fused multiply-adds that one of its cores could do at best."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kernels.backends.host import instruction_sets
from kernels.bench.native import Probe


def describe() -> dict[str, Any]:
    """Processor, cores and instruction sets."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return {"processor": name, "cores": os.cpu_count() or 1, "instruction_sets": list(instruction_sets())}


def multiply_add_work(probe: Probe) -> tuple[float, Callable[[], object]]:
    """Floating-point operations of a work of nothing but fused multiply-adds in registers, one core, and the work."""
    rounds = 200_000
    return probe.multiply_add(rounds), lambda: probe.multiply_add(rounds)
