"""Tube output against the flat, from normalised counts of air."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]


def output_scale(samples: F32, exposure: F32, modelled: F32) -> tuple[float, float]:
    """Counts of air over those of the flat, per bin (low, high); 1 = no drift.

    ``samples`` (4, 2, rows, columns) normalised counts, ``exposure`` (columns,), ``modelled`` (4, 2, rows) counts of
    one frame and pixel in air. The four groups are added first, so that a small mask drift cancels to first order;
    medians over rows, then over columns, pass over dead rows and a few columns that are not air.
    ValueError when a bin has no usable pixel or no counts.
    """
    counts = samples.sum(axis=0, dtype=np.float64)
    expected = modelled.sum(axis=0, dtype=np.float64)[..., None] * exposure.astype(np.float64)
    ratio = np.full(counts.shape, np.nan)
    np.divide(counts, expected, out=ratio, where=np.isfinite(counts) & (expected > 0))
    low, high = (_median_of_columns(per_bin) for per_bin in ratio)
    return low, high


def _median_of_columns(ratio: npt.NDArray[np.float64]) -> float:
    columns = [np.median(column[np.isfinite(column)]) for column in ratio.T if np.isfinite(column).any()]
    scale = float(np.median(columns)) if columns else 0.0
    if not scale > 0:
        raise ValueError("no counts in air; check the tube, its shutter and the pixel mask")
    return scale
