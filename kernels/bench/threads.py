"""What more threads bring. On a quiet machine: ``python -m kernels.bench.threads`` prints that, and the phase sums."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from kernels.bench.retrieval import COUNTS, MODELS, SEED, ours, pixel_fits, work
from kernels.bench.scene import Pixels, pixels
from kernels.bench.sums import phase_sums
from kernels.bench.timing import LARGE, PAIRS, QUICK, Timing, measure_in_turn, medians, ratio, wall
from kernels.types import Model


def speed_ups(base: Pixels, quick: bool, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Fits per second by the clock for 1, 2, 4, … threads; all models and numbers of threads take turns."""
    cores = os.cpu_count() or 1
    steps = sorted({1, 2, *(2**k for k in range(cores.bit_length()) if 2**k <= cores), cores})
    say(f"{', '.join(map(str, steps))} threads and models in turn")
    held = ours(base, MODELS[0])
    works = {f"{model} {threads}": work(base, model, threads, held) for model in MODELS for threads in steps}
    found = measure_in_turn(works, QUICK if quick else PAIRS)
    return [_row(base, model, threads, found) for model in MODELS for threads in steps]


def _row(base: Pixels, model: Model, threads: int, found: dict[str, list[Timing]]) -> dict[str, Any]:
    own = medians(found)[f"{model} {threads}"]
    return {
        "model": model,
        "threads": threads,
        "fits_per_second": pixel_fits(base) / own.wall_s,
        "speed_up": ratio(found[f"{model} 1"], found[f"{model} {threads}"], wall),
        "rounds": own.rounds,
        "others_busy_cores": own.others,
    }


def _print() -> None:
    for row in speed_ups(pixels(100, 1000, COUNTS, SEED), False, print):
        print(
            f"{row['model']:6}{row['threads']} threads: {row['fits_per_second'] / 1e6:5.2f} M fits/s, "
            f"{row['speed_up']:.2f} x, others {row['others_busy_cores']:.2f} cores"
        )
    for row in phase_sums(False, LARGE)["batches"]:
        print(
            f"phase sums, {row['frames_per_call']} frames per call: {row['bytes_per_second'] / 1e9:.1f} GB/s, "
            f"{row['of_copy_bandwidth']:.0%} of copying, others {row['others_busy_cores']:.2f} cores"
        )


if __name__ == "__main__":
    _print()
