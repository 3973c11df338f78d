"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass

from kernels.bench.gpu.device import COPY_BYTES
from kernels.bench.timing import QUICK, Effort

_EFFORT = Effort(rounds=3, round_s=0.1, budget_s=0.5)


@dataclass(frozen=True)
class Extent:
    """Sizes and repetitions of the GPU benchmark; the defaults are those to quote."""

    pixels: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    counts: tuple[float, ...] = (1e3, 1e4, 1e6)
    compared: tuple[int, int] = (200, 1000)  # rows and columns of the images that are compared
    frames: int = 1024
    batches: tuple[int, ...] = (1, 4, 16, 64)
    rows: int = 512
    slab: tuple[int, int] = (512, 64)
    calls: int = 500
    rounds: int = 5
    copy_bytes: int = COPY_BYTES
    effort: Effort = _EFFORT


FULL = Extent()
SHORT = Extent(pixels=(1_000, 10_000), counts=(1e4,), compared=(20, 100), frames=64, calls=50, rounds=2, effort=QUICK)
