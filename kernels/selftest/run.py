"""The selftest as one dictionary: every engine, every golden vector, differences, tolerances, timings, versions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernels.backends import Backend
from kernels.selftest.checks import TOLERANCES, Arrays, compare, engines
from kernels.selftest.golden import FOLDER, load
from kernels.settings import BINS
from kernels.versions import versions

NAMES = (
    "retrieve_paper",
    "retrieve_full",
    "retrieve_map",
    "phase_sums",
    "ratios",
    "curve_fit_paper",
    "curve_fit_full",
    "correct_frames",
    "stepped",
    "sinusoid",
)
_REPEATS = 3
#: Columns of the image that the speed is taken from.
_SPEED_COLUMNS = 20_000


def _median_ms(work: Callable[[], object]) -> float:
    spent = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        work()
        spent.append(1e3 * (time.perf_counter() - began))
    return statistics.median(spent)


def _speed(engine: Backend, given: Arrays) -> float:
    """Fits per second of `map` on the golden pixels, repeated to a large image; one thread."""
    repeats = -(-_SPEED_COLUMNS // given["samples"].shape[3])
    samples = np.ascontiguousarray(np.tile(given["samples"], (1, 1, 1, repeats)))
    wide = (np.tile(given[name], repeats) for name in ("exposure", "variance_factor"))
    arguments = (samples, given["curves"], float(given["x0_um"]), *wide, 2, given["prior"], 1)
    engine.retrieve(*arguments)
    fits = BINS * samples.shape[2] * samples.shape[3]
    milliseconds = _median_ms(lambda: engine.retrieve(*arguments))
    return 1e3 * float(fits) / milliseconds


def _check(engine: Backend, name: str, folder: Path) -> dict[str, Any]:
    """One golden vector; whatever goes wrong is a failure of this check, and the others still run."""
    try:
        given = load(name, folder)
        differences = compare(engine, name, given)
        milliseconds = _median_ms(lambda: compare(engine, name, given))
    except Exception as error:  # reported, and makes the selftest fail
        return {"vector": name, "passed": False, "error": f"{type(error).__name__}: {error}"}
    quantities = [
        {
            "quantity": quantity,
            "difference": value if np.isfinite(value) else None,
            "tolerance": TOLERANCES[quantity][0],
            "unit": TOLERANCES[quantity][1],
            "passed": value <= TOLERANCES[quantity][0],
        }
        for quantity, value in differences.items()
    ]
    passed = all(q["passed"] for q in quantities)
    return {"vector": name, "passed": passed, "milliseconds": milliseconds, "quantities": quantities}


def run(folder: Path = FOLDER) -> dict[str, Any]:
    """Every engine of this machine through the golden vectors in ``folder``; `passed` only if all of it passed."""
    reports: list[dict[str, Any]] = []
    for name, make in engines().items():
        report: dict[str, Any] = {"engine": name}
        reports.append(report)
        began = time.perf_counter()
        try:
            engine = make()
        except Exception as error:  # an engine that is there and does not start is a failure, not an absence
            report |= {"passed": False, "error": f"{type(error).__name__}: {error}", "checks": []}
            continue
        report["ready_ms"] = 1e3 * (time.perf_counter() - began)
        report["checks"] = [_check(engine, vector, folder) for vector in NAMES]
        report["passed"] = all(check["passed"] for check in report["checks"])
        if report["passed"]:
            report["map_fits_per_second"] = _speed(engine, load("retrieve_map", folder))
    return {"passed": all(r["passed"] for r in reports), "engines": reports, "versions": versions()}
