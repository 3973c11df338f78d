"""The whole benchmark of the GPU as one dictionary of figures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from kernels.bench import machine
from kernels.bench.gpu.device import KernelClock, describe, open_gpu
from kernels.bench.gpu.extent import Extent
from kernels.bench.gpu.ready import ready_seconds
from kernels.bench.gpu.retrieval import agreement, rates, slab_latency
from kernels.bench.gpu.sums import phase_sums
from kernels.bench.retrieval import COUNTS
from kernels.versions import versions


def run(extent: Extent, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures. Raises :class:`kernels.bench.gpu.device.NoGpuError` where there is none."""
    gpu = open_gpu()
    began, threads = time.perf_counter(), len(os.sched_getaffinity(0))
    clock = KernelClock(gpu, extent.copy_bytes)
    figures: dict[str, Any] = {
        "data": f"simulated Poisson samples, {COUNTS:.0e} counts at the peak of the low bin",
        "gpu": describe(gpu),
        "machine": machine.describe(),
        "versions": versions(),
        "host_threads": threads,
    }
    say("the start of the back end")
    figures["ready_seconds"] = ready_seconds()
    say("agreement with the host")
    figures["agreement"] = agreement(extent, threads)
    say("the retrieval")
    figures |= rates(gpu, clock, extent, threads)
    say("slabs")
    figures["slab_latency"] = slab_latency(extent, threads)
    say("phase sums")
    figures["phase_sums"] = phase_sums(gpu, clock, extent)
    figures["seconds"] = time.perf_counter() - began
    return figures
