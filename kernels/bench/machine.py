"""What the machine could do at best: copying memory and fused multiply-adds, one core."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from kernels.backends.host import instruction_sets
from kernels.bench.native import Probe
from kernels.bench.timing import Effort, Timing, measure

#: More than any last-level cache that we know of.
COPY_MIB = 256


def describe() -> dict[str, Any]:
    """Processor, cores and instruction sets."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass
    return {"processor": name, "cores": os.cpu_count() or 1, "instruction_sets": list(instruction_sets())}


def copy_bandwidth(effort: Effort, mib: int = COPY_MIB) -> tuple[float, Timing]:
    """Bytes per CPU second that one core copies from memory to memory; a byte counts once, not as read and written."""
    source = np.ones(mib * 2**20 // 4, dtype=np.float32)
    target = np.zeros_like(source)
    timing = measure(lambda: np.copyto(target, source), effort)
    return source.nbytes / timing.cpu_s, timing


def multiply_add_peak(probe: Probe, effort: Effort) -> tuple[float, Timing]:
    """Floating-point operations per CPU second of one core that does nothing but fused multiply-adds in registers."""
    rounds = 200_000
    operations = probe.multiply_add(rounds)
    timing = measure(lambda: probe.multiply_add(rounds), effort)
    return operations / timing.cpu_s, timing
