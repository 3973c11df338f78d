"""Fits per second: our three models and the peers, on the same Poisson samples, per core and with all cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels import retrieve
from kernels.bench.peers import cpufit, numba_lm, numpy_lm, scipy_fits
from kernels.bench.peers.problem import Fits, chi2, fits_of
from kernels.bench.scene import PRIOR, X0_UM, Pixels, pixels
from kernels.bench.timing import Effort, Timing, cpu, measure, measure_in_turn, medians, ratio
from kernels.settings import BINS, SETTINGS
from kernels.types import Model, Retrieval

MODELS: tuple[Model, ...] = ("map", "full", "paper")
COUNTS = 1e5
SEED = 11
Solver = Callable[..., npt.NDArray[Any]]
#: Name, solver, which of the fits it gets (slow ones get few), and whether it takes a number of threads.
PEERS: tuple[tuple[str, Solver, str, bool], ...] = (
    ("numpy batched LM", numpy_lm.fit, "half", True),
    ("numba LM", numba_lm.fit, "all", True),
    ("scipy curve_fit", scipy_fits.fit_curve_fit, "few", False),
    ("scipy least_squares", scipy_fits.fit_least_squares, "few", False),
    ("Cpufit", cpufit.fit, "half", False),
)


@dataclass(frozen=True)
class _Entrant:
    """A solver with its data: one thread, and all cores where it can."""

    name: str
    fits: int
    one: Callable[[], object]
    every: Callable[[], object] | None


def ours(
    data: Pixels, model: Model, threads: int = 1, out: Retrieval | None = None, unbiased: bool = True
) -> Retrieval:
    """The retrieval as the lane calls it, with 1-σ and flags, into the memory of an earlier result."""
    return retrieve(
        data.samples, data.curves, X0_UM, exposure=data.exposure, model=model, prior=PRIOR, backend="host",
        threads=threads, unbiased=unbiased, out=out,
    )  # fmt: skip


def work(data: Pixels, model: Model, threads: int = 1, out: Retrieval | None = None) -> Callable[[], object]:
    """A retrieval to be timed; ``out`` may be shared by works of the same size that take turns."""
    held = out or ours(data, model, threads)
    return lambda: ours(data, model, threads, held)


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
    few = fits.part(slice(0, len(fits), max(1, len(fits) // slow)))
    some = fits.part(slice(0, len(fits), 2))
    solvers: list[_Entrant] = [
        _Entrant(f"darklane {model}", len(fits), work(data, model), work(data, model, cores)) for model in MODELS
    ]
    absent: list[dict[str, str]] = []
    # An exact root has no noise in it that could make a bias.
    exact = {"darklane full": _exact(chi2(fits, ours(data, "full", unbiased=False).images.reshape(4, -1)))}
    for name, solver, chosen, takes_threads in PEERS:
        given = {"all": fits, "half": some, "few": few}[chosen]
        try:
            exact[name] = _exact(chi2(given, solver(given)))
        except ImportError as error:
            absent.append({"name": name, "reason": f"not installed ({error})"})
            continue
        every = _bind(solver, given, cores) if takes_threads else None
        solvers.append(_Entrant(name, len(given), _bind(solver, given), every))
    say("all solvers in turn, one thread")
    one = measure_in_turn({s.name: s.one for s in solvers}, effort)
    say("all solvers in turn, all cores")
    many = measure_in_turn({s.name: s.every for s in solvers if s.every is not None}, effort)
    alone, together = medians(one), medians(many)
    table = [_row(s, alone[s.name], together.get(s.name), exact) for s in solvers]
    for row in table:
        if row["name"].startswith("scipy") and not quick:
            say(f"{row['name']}, a process for each core")
            solver = next(peer[1] for peer in PEERS if peer[0] == row["name"])
            row["fits_per_second_all_cores"] = _processes(solver, few, cores, effort)
    return {"retrieval": table, "absent": absent, "ratios": _ratios(solvers, one)}


def _bind(solver: Solver, fits: Fits, *threads: int) -> Callable[[], object]:
    return lambda: solver(fits, *threads)


def _row(entrant: _Entrant, one: Timing, many: Timing | None, exact: dict[str, float]) -> dict[str, Any]:
    return {
        "name": entrant.name,
        "fits_per_second_per_core": entrant.fits / max(one.cpu_s, 1e-9),
        "fits_per_second_one_thread_wall": entrant.fits / one.wall_s,
        "fits_per_second_all_cores": entrant.fits / many.wall_s if many else None,
        "fits": entrant.fits,
        "exact_root_found": exact.get(entrant.name),
        "rounds": one.rounds,
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


def _ratios(solvers: list[_Entrant], one: dict[str, list[Timing]]) -> dict[str, dict[str, float]]:
    """How many times as many fits per CPU second each of ours does, against peers and against our other models."""
    fits = {s.name: s.fits for s in solvers}
    mine = [name for name in fits if name.startswith("darklane")]
    return {m: {p: fits[m] / fits[p] * ratio(one[p], one[m], cpu) for p in fits if p != m} for m in mine}


def pixel_fits(data: Pixels) -> int:
    """Fits in one retrieval of ``data``."""
    return int(BINS * data.samples.shape[2] * data.samples.shape[3])
