"""Fits per second: our three models and the peers, on the same Poisson samples, per core and with all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels import retrieve
from kernels.bench.peers import cpufit, numba_lm, numpy_lm, scipy_fits
from kernels.bench.peers.problem import Fits, chi2, fits_of
from kernels.bench.scene import PRIOR, X0_UM, Pixels, pixels
from kernels.bench.timing import Effort, Timing, measure
from kernels.settings import BINS, SETTINGS
from kernels.types import Model, Retrieval

MODELS: tuple[Model, ...] = ("map", "full", "paper")
COUNTS = 1e5
SEED = 11
Solver = Callable[[Fits], npt.NDArray[Any]]


def ours(data: Pixels, model: Model, threads: int = 1) -> Retrieval:
    """The retrieval as the lane calls it, with 1-σ and flags."""
    return retrieve(
        data.samples, data.curves, X0_UM, exposure=data.exposure, model=model, prior=PRIOR, backend="host",
        threads=threads,
    )  # fmt: skip


def compare(quick: bool, effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Tables `retrieval` (name, fits_per_second_per_core, …), `ratios` of ours to the peers', and `absent` peers.

    A fit is one bin of one pixel: t, Δ, τ², o from four samples; a `map` pixel is two. Per core is per CPU second of
    one thread, which is the same as per second on a machine that nobody else uses. Peers fit model `full` from one
    common first guess that costs them nothing, and compute neither σ nor flags (curve_fit computes its covariance).
    """
    rows, columns, slow = (16, 64, 16) if quick else (100, 1000, 400)
    cores = os.cpu_count() or 1
    data = pixels(rows, columns, COUNTS, SEED)
    fits = fits_of(data)
    table: list[dict[str, Any]] = []
    for model in MODELS:
        say(f"darklane {model}")
        found = ours(data, model)
        exact = _exact(chi2(fits, found.images.reshape(4, -1))) if model == "full" else None
        one = measure(lambda model=model: ours(data, model), effort)  # type: ignore[misc]
        many = measure(lambda model=model: ours(data, model, cores), effort)  # type: ignore[misc]
        table.append(_row(f"darklane {model}", len(fits), one, len(fits) / many.wall_s, exact))
        table[-1]["unflagged"] = float((found.flags == 0).mean())
    few = fits.part(slice(0, len(fits), max(1, len(fits) // slow)))
    some = fits.part(slice(0, len(fits), 2))
    peers: list[tuple[str, Solver, Fits, Callable[[Fits], object] | None]] = [
        ("numpy batched LM", numpy_lm.fit, some, lambda f: numpy_lm.fit(f, cores)),
        ("numba LM", numba_lm.fit, fits, lambda f: numba_lm.fit(f, cores)),
        ("scipy curve_fit", scipy_fits.fit_curve_fit, few, None),
        ("scipy least_squares", scipy_fits.fit_least_squares, few, None),
        ("Cpufit", cpufit.fit, some, None),
    ]
    absent: list[dict[str, str]] = []
    for name, solver, chosen, threaded in peers:
        say(name)
        try:
            result = solver(chosen)
        except ImportError as error:
            absent.append({"name": name, "reason": f"not installed ({error})"})
            continue
        one = measure(lambda s=solver, c=chosen: s(c), effort)  # type: ignore[misc]
        every = None
        if threaded is not None:
            threaded(chosen)
            many = measure(lambda t=threaded, c=chosen: t(c), effort)  # type: ignore[misc]
            every = len(chosen) / many.wall_s
        elif name.startswith("scipy") and not quick:
            every = _processes(solver, chosen, cores, effort)
        table.append(_row(name, len(chosen), one, every, _exact(chi2(chosen, result))))
    return {"retrieval": table, "absent": absent, "ratios": _ratios(table)}


def _row(name: str, count: int, one: Timing, every: float | None, exact: float | None) -> dict[str, Any]:
    return {
        "name": name,
        "fits_per_second_per_core": count / max(one.cpu_s, 1e-9),
        "fits_per_second_one_thread_wall": count / one.wall_s,
        "fits_per_second_all_cores": every,
        "fits": count,
        "exact_root_found": exact,
        "others_busy_cores": one.others,
    }


def _exact(values: npt.NDArray[np.float64]) -> float:
    """Share of fits that found an exact root: four unknowns reproduce four samples."""
    return float((values < SETTINGS.chi2_exact).mean())


def _processes(solver: Solver, fits: Fits, cores: int, effort: Effort) -> float:
    """Fits per second of ``cores`` processes, started and warmed up before."""
    parts = [fits.part(slice(i, len(fits), cores)) for i in range(cores)]
    with ProcessPoolExecutor(cores, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(solver, parts))
        return len(fits) / measure(lambda: list(pool.map(solver, parts)), effort).wall_s


def _ratios(table: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """How many times as many fits per second and core ours do."""
    mine = [row for row in table if row["name"].startswith("darklane")]
    peers = [row for row in table if not row["name"].startswith("darklane")]
    rate = "fits_per_second_per_core"
    return {m["name"]: {p["name"]: m[rate] / p[rate] for p in peers} for m in mine}


def pixel_fits(data: Pixels) -> int:
    """Fits in one retrieval of ``data``."""
    return int(BINS * data.samples.shape[2] * data.samples.shape[3])
