"""Equation (1): illumination curves fitted to a mask scan in air."""

from __future__ import annotations

import numpy as np

from kernels import checks
from kernels.reference import curve_fit
from kernels.settings import BINS, GROUPS
from kernels.types import F32, F64, IlluminationCurves, Model

#: A scan of fewer positions cannot hold 13 parameters with anything left to judge the fit by.
MIN_POSITIONS = 7


def fit_curves(
    positions_um: F64, flats: F32, *, model: Model = "full", counts_scale: float = 1.0, threads: int = 1
) -> tuple[IlluminationCurves, F32]:
    """Fit equation (1), 13 parameters per row and bin, and return the curves and the (2, rows) rms residual / peak.

    ``positions_um``: (P,) mask positions x; group g samples the curves at x + 75 g. ``flats``: (P, 4, 2, rows) float32
    mean counts per frame and pixel. ``model``: `paper` fits the four Gaussians as printed, otherwise own,
    left and right neighbour with the wrap. ``counts_scale`` multiplies the fitted areas and floors.
    The residual of a row without signal is NaN, and so are its curves. Raises ValueError.
    """
    checks.model(model)
    at = np.asarray(positions_um, dtype=np.float64)
    if at.ndim != 1 or len(at) < MIN_POSITIONS or not np.isfinite(at).all():
        raise ValueError(f"positions_um: shape is {at.shape}, expected (P,) finite positions, P ≥ {MIN_POSITIONS}")
    data: F32 = checks.array("flats", flats, (len(at), GROUPS, BINS, None), np.float32)
    scale = checks.number("counts_scale", counts_scale, 1e-9, 1e9)
    rows = data.shape[3]
    packed = np.full((BINS, rows, curve_fit.PARAMETERS), np.nan)
    residual = np.full((BINS, rows), np.nan, dtype=np.float32)
    for b in range(BINS):
        for row in range(rows):
            scan = data[:, :, b, row].astype(np.float64)
            if np.isfinite(scan).all() and scan.max() > 0:
                packed[b, row], residual[b, row] = curve_fit.fit(at, scan, model)
    packed[..., [0, 1, 2, 3, 12]] *= scale
    parts = (packed[..., 0:4], packed[..., 4:8], packed[..., 8:12], packed[..., 12])
    return IlluminationCurves(*(np.ascontiguousarray(p, dtype=np.float32) for p in parts)), residual
