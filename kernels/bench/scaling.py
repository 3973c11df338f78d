"""How the retrieval's speed depends on the number of pixels, of threads, and on the counts of a pixel."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernels.bench.retrieval import COUNTS, MODELS, SEED, ours, pixel_fits
from kernels.bench.scene import Pixels, pixels
from kernels.bench.timing import Effort, measure

PIXELS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
QUICK_PIXELS = (100, 1_000)
COUNT_STEPS = (1e3, 1e4, 1e5, 1e6)
_ROWS = 100
#: Distinct pixels; larger images repeat them.
_DISTINCT = 100_000
#: Samples, images and σ of one pixel as float32, and its flags.
_BYTES = 3 * 8 * 4 + 2 * 2


def available_bytes() -> float:
    """Memory that can be taken without swapping; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return float("inf")
    return next((float(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), float("inf"))


def _sized(base: Pixels, count: int) -> Pixels:
    columns = max(1, count // base.samples.shape[2])
    repeats = -(-columns // base.samples.shape[3])
    samples = np.ascontiguousarray(np.tile(base.samples, (1, 1, 1, repeats))[..., :columns])
    return Pixels(base.curves, base.truth, samples, base.exposure)


def scaling(quick: bool, effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """`pixels`, `threads` and `counts`: fits per second, by CPU time of one thread or by wall time for threads."""
    rows, distinct = (10, 1_000) if quick else (_ROWS, _DISTINCT)
    base = pixels(rows, distinct // rows, COUNTS, SEED)
    by_pixels: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    for count in QUICK_PIXELS if quick else PIXELS:
        if 2.5 * _BYTES * count > available_bytes():
            skipped.append({"pixels": count, "reason": "not enough free memory"})
            continue
        data = _sized(base, count)
        say(f"{count} pixels")
        for model in MODELS:
            timing = measure(lambda m=model, d=data: ours(d, m), effort)  # type: ignore[misc]
            by_pixels.append(
                {
                    "model": model,
                    "pixels": pixel_fits(data) // 2,
                    "fits_per_second_per_core": pixel_fits(data) / max(timing.cpu_s, 1e-9),
                    "others_busy_cores": timing.others,
                }
            )
        del data
    return {
        "pixels": by_pixels,
        "pixels_skipped": skipped,
        "threads": _threads(base, effort, say),
        "counts": _counts(rows, distinct // rows, effort, say),
    }


def _threads(base: Pixels, effort: Effort, say: Callable[[str], None]) -> list[dict[str, Any]]:
    cores = os.cpu_count() or 1
    steps = sorted({1, 2, *(2**k for k in range(cores.bit_length()) if 2**k <= cores), cores})
    found: list[dict[str, Any]] = []
    for model in MODELS:
        single = 0.0
        for threads in steps:
            say(f"{threads} threads, {model}")
            timing = measure(lambda m=model, t=threads: ours(base, m, t), effort)  # type: ignore[misc]
            rate = pixel_fits(base) / timing.wall_s
            single = rate if threads == 1 else single
            found.append(
                {
                    "model": model,
                    "threads": threads,
                    "fits_per_second": rate,
                    "speed_up": rate / single,
                    "others_busy_cores": timing.others,
                }
            )
    return found


def _counts(rows: int, columns: int, effort: Effort, say: Callable[[str], None]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for counts in COUNT_STEPS:
        data = pixels(rows, columns, counts, SEED)
        say(f"{counts:.0e} counts")
        for model in MODELS:
            timing = measure(lambda m=model, d=data: ours(d, m), effort)  # type: ignore[misc]
            rate = pixel_fits(data) / max(timing.cpu_s, 1e-9)
            found.append(
                {
                    "model": model,
                    "counts_at_peak": counts,
                    "fits_per_second_per_core": rate,
                    "others_busy_cores": timing.others,
                }
            )
    return found
