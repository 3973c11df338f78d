"""Phase sums by direct evaluation of S_g(r, j) = Σ_{c∈g, n} W(u(c, n) − u_j) I(r, c, n), physics.md 4."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.settings import COLUMNS, GROUPS
from kernels.types import F64


def hat(distance_um: F64, half_width_um: float) -> F64:
    """W: triangular weight of half width h."""
    return np.maximum(0.0, 1.0 - np.abs(distance_um) / half_width_um)


def phase_sums(
    frames: npt.NDArray[np.uint16],
    travel_um: F64,
    column_offsets_um: F64,
    good_pixels: npt.NDArray[np.uint8],
    grid_um: float,
    origin_um: float,
    columns: int,
) -> tuple[F64, F64, F64]:
    """Sums (4, 2, rows, columns), Σ W (128, columns) and Σ W² (128, columns) of frames (n, 2, rows, 128)."""
    at = origin_um + grid_um * np.arange(columns)
    u = np.asarray(travel_um)[:, None] - np.asarray(column_offsets_um)[None, :]
    weight = hat(u[..., None] - at, grid_um)  # (n, 128, columns)
    masked = frames.astype(np.float64) * (np.asarray(good_pixels) != 0)
    sums = [np.einsum("nbrc,ncj->brj", masked[..., g::GROUPS], weight[:, g:COLUMNS:GROUPS]) for g in range(GROUPS)]
    return np.stack(sums), weight.sum(0), (weight**2).sum(0)
