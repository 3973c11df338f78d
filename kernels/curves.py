"""Equation (1): illumination curves fitted to a mask scan in air."""

from __future__ import annotations

import numpy as np

from kernels import checks
from kernels.backends import BackendName, get
from kernels.reference import curve_fit
from kernels.settings import BINS, GROUPS
from kernels.types import F32, F64, IlluminationCurves, Model

#: A scan of fewer positions cannot hold 13 parameters with anything left to judge the fit by.
MIN_POSITIONS = 7
#: A sample weighs as if it had at least this fraction of the highest count.
LEAST_WEIGHT = curve_fit.LEAST_WEIGHT


def fit_curves(
    positions_um: F64,
    flats: F32,
    *,
    model: Model = "full",
    counts_scale: float = 1.0,
    backend: BackendName = "auto",
    threads: int = 1,
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
    workers = int(checks.number("threads", threads, 1, 1024))
    flat = data.reshape(len(at), GROUPS, -1)
    usable = np.flatnonzero(np.isfinite(flat).all(axis=(0, 1)) & (flat.max(axis=(0, 1)) > 0))
    parameters = np.full((curve_fit.PARAMETERS, BINS * rows), np.nan, dtype=np.float32)
    residual = np.full(BINS * rows, np.nan, dtype=np.float32)
    if len(usable) > 0:
        scans = np.ascontiguousarray(flat[..., usable])
        # In units of the highest count, whatever the exposure was: float32 has the same room everywhere.
        unit = scans.max(axis=(0, 1))
        scans /= unit
        start = np.stack([curve_fit.start(at, scans[..., i].astype(np.float64)) for i in range(len(usable))], axis=1)
        least = np.full(len(usable), LEAST_WEIGHT, dtype=np.float32)
        fitted, residual[usable] = get(backend).fit_curves(
            at.astype(np.float32), scans, start.astype(np.float32), least, model == "paper", workers
        )
        fitted[[0, 1, 2, 3, 12]] *= unit * np.float32(scale)
        parameters[:, usable] = fitted
    by_line = parameters.reshape(curve_fit.PARAMETERS, BINS, rows)
    area, centre, width = (
        np.ascontiguousarray(np.moveaxis(by_line[k : k + GROUPS], 0, -1)) for k in range(0, 3 * GROUPS, GROUPS)
    )
    return IlluminationCurves(area, centre, width, by_line[12].copy()), residual.reshape(BINS, rows)
