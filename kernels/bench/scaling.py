"""How the retrieval's speed depends on the number of pixels, of threads, and on the counts of a pixel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from kernels.bench.retrieval import COUNTS, MODELS, SEED, ours, pixel_fits, work
from kernels.bench.scene import Pixels, pixels
from kernels.bench.threads import speed_ups
from kernels.bench.timing import FULL, LARGE, QUICK, measure_in_turn, medians

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


def pixel_bytes(count: int) -> int:
    """Memory of so many pixels with their results."""
    return _BYTES * count


def sized(base: Pixels, count: int) -> Pixels:
    """An image of about ``count`` pixels, those of ``base`` over and over."""
    columns = max(1, count // base.samples.shape[2])
    repeats = -(-columns // base.samples.shape[3])
    samples = np.ascontiguousarray(np.tile(base.samples, (1, 1, 1, repeats))[..., :columns])
    return Pixels(base.curves, base.truth, samples, base.exposure)


def scaling(quick: bool, say: Callable[[str], None]) -> dict[str, Any]:
    """`pixels`, `threads` and `counts`: fits per second, by CPU time of one thread or by wall time for threads.

    What is compared takes turns: all models and sizes, all models and counts, one thread and several.
    """
    rows, distinct = (10, 1_000) if quick else (_ROWS, _DISTINCT)
    base = pixels(rows, distinct // rows, COUNTS, SEED)
    sizes: dict[int, Pixels] = {}
    skipped: list[dict[str, Any]] = []
    for count in QUICK_PIXELS if quick else PIXELS:
        if 2 * pixel_bytes(count) > available_bytes():
            skipped.append({"pixels": count, "reason": "not enough free memory"})
        else:
            sizes[count] = sized(base, count)
    say("sizes and models in turn")
    by_pixels = _in_turn("pixels", sizes, quick, large=True)
    sizes.clear()
    say("counts and models in turn")
    counts = {counts: pixels(rows, distinct // rows, counts, SEED) for counts in COUNT_STEPS}
    return {
        "pixels": by_pixels,
        "pixels_skipped": skipped,
        "counts": _in_turn("counts_at_peak", counts, quick, large=False),
        "threads": speed_ups(base, quick, say),
    }


def _in_turn(key: str, scenes: dict[Any, Pixels], quick: bool, *, large: bool) -> list[dict[str, Any]]:
    """One row for every scene and model."""
    works: dict[str, Callable[[], object]] = {}
    for name, data in scenes.items():
        held = ours(data, MODELS[0])
        works |= {f"{model} {name}": work(data, model, out=held) for model in MODELS}
    found = medians(measure_in_turn(works, QUICK if quick else LARGE if large else FULL))
    table: list[dict[str, Any]] = []
    for name, data in scenes.items():
        for model in MODELS:
            timing = found[f"{model} {name}"]
            rate = pixel_fits(data) / max(timing.cpu_s, 1e-9)
            row = {"model": model, key: name, "fits_per_second_per_core": rate, "others_busy_cores": timing.others}
            table.append(row)
    return table
