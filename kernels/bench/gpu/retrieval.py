"""The retrieval on the GPU: fits per second, how far results are from the host's, and how steady a lane's call is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels import retrieve
from kernels.backends import BackendName
from kernels.backends.cuda import CudaBackend
from kernels.bench.gpu.device import KernelClock
from kernels.bench.gpu.extent import Extent
from kernels.bench.retrieval import COUNTS, MODELS, SEED, pixel_fits
from kernels.bench.scaling import available_bytes, pixel_bytes, sized
from kernels.bench.scene import PRIOR, X0_UM, Pixels, pixels
from kernels.bench.timing import measure_in_turn, medians
from kernels.types import F32, INFORMATIVE, Model, Retrieval

#: Copies of an image that are in memory at once, on a board whose GPU shares it: given, page-locked, device, result.
_COPIES = 5
#: Difference, in σ, from which on two results are counted as different.
FAR_SIGMA = 0.01


def _call(data: Pixels, model: Model, backend: BackendName, threads: int, out: Retrieval | None = None) -> Retrieval:
    return retrieve(
        data.samples, data.curves, X0_UM, exposure=data.exposure, model=model, prior=PRIOR, backend=backend,
        threads=threads, out=out,
    )  # fmt: skip


def _work(data: Pixels, model: Model, backend: BackendName, threads: int, out: Retrieval) -> Callable[[], object]:
    return lambda: _call(data, model, backend, threads, out)


def rates(gpu: CudaBackend, clock: KernelClock, extent: Extent, threads: int) -> dict[str, Any]:
    """`rates` for every model and size: whole calls of both back ends in turn, and the kernels alone.

    A whole call takes NumPy arrays and fills NumPy arrays; the copies between them and the GPU are in it.
    """
    rows = min(100, extent.pixels[0])
    base = pixels(rows, min(extent.pixels[-1], 100_000) // rows, COUNTS, SEED)
    table: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    for count in extent.pixels:
        if _COPIES * pixel_bytes(count) > available_bytes():
            skipped.append({"pixels": count, "reason": "not enough free memory"})
            continue
        data = sized(base, count)
        out = _call(data, MODELS[0], "cuda", threads)
        names: tuple[BackendName, ...] = ("cuda", "host")
        works = {f"{m} {b}": _work(data, m, b, threads, out) for m in MODELS for b in names}
        found = medians(measure_in_turn(works, extent.effort))
        for model in MODELS:
            with clock:
                for _ in range(extent.rounds):
                    _call(data, model, "cuda", threads, out)
            alone = sum(statistics.median(times) for times in clock.seconds().values())
            fits = pixel_fits(data)
            table.append(
                {
                    "model": model,
                    "pixels": count,
                    "kernel_fits_per_second": fits / alone,
                    "call_fits_per_second": fits / found[f"{model} cuda"].wall_s,
                    "host_fits_per_second": fits / found[f"{model} host"].wall_s,
                    "others_busy_cores": found[f"{model} host"].others,
                }
            )
    return {"rates": table, "rates_skipped": skipped}


def agreement(extent: Extent, threads: int) -> list[dict[str, Any]]:
    """How results of the two back ends differ, in the host's σ: pixels without any flag, and without a fault.

    Pixels are pixels and bins; the difference of one is the largest of its four unknowns.
    """
    table: list[dict[str, Any]] = []
    for counts in extent.counts:
        data = pixels(*extent.compared, counts, SEED)
        for model in MODELS:
            gpu, host = (_call(data, model, name, threads) for name in ("cuda", "host"))
            flags = gpu.flags | host.flags
            with np.errstate(all="ignore"):  # pixels with a fault may have any σ
                apart = (np.abs(gpu.images - host.images) / host.sigma).max(axis=0)
                of_sigma = np.abs(gpu.sigma / host.sigma - 1).max(axis=0)
            table.append(
                {
                    "counts_at_peak": counts,
                    "model": model,
                    "pixels": int(flags.size),
                    "flags_differ": int((gpu.flags != host.flags).sum()),
                    "nan_differ": int((np.isnan(gpu.images) != np.isnan(host.images)).any(axis=0).sum()),
                    "no_flag": _differences(flags == 0, apart, of_sigma),
                    "no_fault": _differences((flags & ~np.uint16(INFORMATIVE)) == 0, apart, of_sigma),
                }
            )
    return table


def _differences(chosen: npt.NDArray[np.bool_], apart: F32, of_sigma: F32) -> dict[str, Any]:
    """Of the chosen pixels: how many, the largest differences of the unknowns in σ and of σ relative."""
    far = apart[chosen] > FAR_SIGMA
    largest = {"largest_sigma": apart, "largest_of_sigma": of_sigma}
    found = {name: float(values[chosen].max()) if far.size else None for name, values in largest.items()}
    return {"pixels": int(far.size), "beyond_far": int(far.sum()), **found}


def slab_latency(extent: Extent, threads: int) -> list[dict[str, Any]]:
    """Times of whole `map` calls for one slab of the lane, one after the other: median and 99 % in ms."""
    rows, columns = extent.slab
    data = pixels(rows, columns, COUNTS, SEED)
    table: list[dict[str, Any]] = []
    names: tuple[BackendName, ...] = ("cuda", "host")
    for name in names:
        out = _call(data, "map", name, threads)
        spent = []
        for _ in range(extent.calls):
            began = time.perf_counter()
            _call(data, "map", name, threads, out)
            spent.append(1e3 * (time.perf_counter() - began))
        table.append(
            {
                "backend": name,
                "rows": rows,
                "columns": columns,
                "calls": extent.calls,
                "median_ms": statistics.median(spent),
                "p99_ms": float(np.quantile(spent, 0.99)),
                "longest_ms": max(spent),
            }
        )
    return table
