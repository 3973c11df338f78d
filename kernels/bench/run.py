"""The whole benchmark of the kernels as one dictionary of figures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from kernels.bench.arithmetic import arithmetic
from kernels.bench.machine import describe
from kernels.bench.retrieval import COUNTS, compare
from kernels.bench.scaling import scaling
from kernels.bench.sums import phase_sums
from kernels.bench.timing import FULL, QUICK
from kernels.versions import versions


def run(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """All figures; ``quick`` shrinks everything to seconds, for trying it out, not for quoting."""
    effort = QUICK if quick else FULL
    began, load = time.perf_counter(), [os.getloadavg()[0]]
    figures: dict[str, Any] = {
        "data": f"simulated Poisson samples, {COUNTS:.0e} counts at the peak of the low bin",
        "quick": quick,
        "machine": describe(),
        "versions": versions(),
    }
    figures |= compare(quick, effort, say)
    say("operations and peak")
    figures["arithmetic"] = arithmetic(quick, effort)
    say("phase sums")
    figures["phase_sums"] = phase_sums(quick, effort)
    figures["scaling"] = scaling(quick, say)
    load.append(os.getloadavg()[0])
    figures["load_average"] = {"before": load[0], "after": load[1]}
    figures["seconds"] = time.perf_counter() - began
    return figures
