"""Compiled parts of the emulated scanner (sources in native/)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U16 = npt.NDArray[np.uint16]

def moments(maps: F32, basis: F32, weights: F32, out: F32) -> None: ...
def expected(
    images: F32,
    curve: F32,
    scale: float,
    dv: float,
    dx: float,
    x_rows: F32,
    peak: F32,
    floor: F32,
    out: F32,
    u0: int,
) -> None: ...
def poisson_fill(means: F32, seed: int, out: U16) -> None: ...

class FrameCore:
    def __init__(
        self, offsets_um: Sequence[float], gain: F32, hot: Sequence[int], hot_counts: float, seed: int
    ) -> None: ...
    def frame(
        self,
        start_um: float,
        stop_um: float,
        segments: Sequence[tuple[float, float, F32]],
        air: F32,
        scale: float,
        out: U16,
    ) -> None: ...
