"""Drift of tube and masks since the calibration, from the air beside each bag, and curves corrected for it.

A mask moves as one rigid piece, so what its air shows is smooth over the rows: a shift, a rotation about the beam
(shift growing with height), and a change of width that may grow with height too. Fitting these few numbers to all
pixels of the air keeps their noise far below that of a pixel; subtracting each row's own air would print its noise
on every column of the bag.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kernels.types import F64, INFORMATIVE, IlluminationCurves, Retrieval

#: Rows whose air lies further from the fit than this many robust 1-σ are left out of it.
OUTLIER = 4.0
#: A curve is never taken to be narrower than this fraction of the calibrated one.
NARROWEST = 0.5
REFRACTION, DARK_FIELD = 1, 2
_MAD_TO_SIGMA = 1.4826


class DriftError(ValueError):
    """The air cannot be used; the message says why."""


@dataclass(frozen=True)
class MaskDrift:
    """``shift_um``: of the curve centres at mid-height, µm at M1; ``rotation_mrad``: µm per mm of height at M1.
    ``broadening_um2``: change of the curves' variance at mid-height, µm², and per mm, (low, high) each. ``sd_*``: 1-σ.
    """

    shift_um: float = 0.0
    rotation_mrad: float = 0.0
    broadening_um2: tuple[float, float] = (0.0, 0.0)
    broadening_per_mm: tuple[float, float] = (0.0, 0.0)
    sd_shift_um: float = 0.0
    sd_broadening_um2: tuple[float, float] = (0.0, 0.0)

    def then(self, more: MaskDrift) -> MaskDrift:
        """This drift and ``more`` on top of it; the uncertainty is that of ``more``, which was measured last."""

        def add(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
            return (a[0] + b[0], a[1] + b[1])

        return MaskDrift(
            self.shift_um + more.shift_um,
            self.rotation_mrad + more.rotation_mrad,
            add(self.broadening_um2, more.broadening_um2),
            add(self.broadening_per_mm, more.broadening_per_mm),
            more.sd_shift_um,
            more.sd_broadening_um2,
        )


def measure(air: Retrieval, heights_mm: F64) -> MaskDrift:
    """Fit the drift to retrieved air (2 bins, rows, columns); ``heights_mm`` (rows,) above mid-height at M1.

    :class:`DriftError` when less than half of the rows have a usable pixel.
    """
    good = (air.flags & ~np.uint16(INFORMATIVE)) == 0
    bins, rows, _ = good.shape
    if heights_mm.shape != (rows,):
        raise ValueError(f"heights_mm: shape is {heights_mm.shape}, expected ({rows},) as the rows of the air")
    values = np.where(good, air.images[[REFRACTION, DARK_FIELD]], np.nan).astype(np.float64)
    used = good.any(axis=2)
    if used.mean() < 0.5:
        raise DriftError(f"only {100 * used.mean():.0f} % of the rows have a usable pixel of air")
    with np.errstate(invalid="ignore", divide="ignore"):
        count = good.sum(axis=2)
        mean = np.nansum(values, axis=3) / count
    # Both bins see the same masks: one shift for the two, but a width for each, because their misfits differ.
    weight = np.sqrt(count.astype(np.float64))
    height = np.tile(heights_mm, bins)
    shift, rotation, sd_shift = _line(height, mean[0].ravel(), weight.ravel())
    lines = [_line(heights_mm, mean[1, b], weight[b]) for b in range(bins)]
    return MaskDrift(
        shift,
        rotation,
        (lines[0][0], lines[1][0]),
        (lines[0][1], lines[1][1]),
        sd_shift,
        (lines[0][2], lines[1][2]),
    )


def corrected(curves: IlluminationCurves, drift: MaskDrift, heights_mm: F64) -> IlluminationCurves:
    """``curves`` as the masks stand now: centres moved, widths changed; area and floor stay."""
    away = (drift.shift_um + drift.rotation_mrad * heights_mm)[None, :, None]
    at_middle = np.asarray(drift.broadening_um2)[:, None]
    wider = (at_middle + np.asarray(drift.broadening_per_mm)[:, None] * heights_mm[None, :])[:, :, None]
    width = curves.width.astype(np.float64)
    variance = np.maximum(width**2 + wider, (NARROWEST * width) ** 2)
    return IlluminationCurves(
        area=curves.area,
        centre=np.ascontiguousarray(curves.centre + away, np.float32),
        width=np.ascontiguousarray(np.sqrt(variance), np.float32),
        floor=curves.floor,
    )


def _line(x: F64, y: F64, weight: F64) -> tuple[float, float, float]:
    """Value at x = 0, slope, and 1-σ of the value: a weighted line through the points that are no outliers."""
    keep: npt.NDArray[np.bool_] = np.isfinite(y) & (weight > 0)
    for _ in range(2):
        w, u, v = weight[keep], x[keep], y[keep]
        design = np.stack([np.ones_like(u), u], axis=1) * w[:, None]
        covariance = np.linalg.pinv(design.T @ design)
        value, slope = covariance @ (design.T @ (v * w))
        residual = (y - value - slope * x) * weight
        spread = _MAD_TO_SIGMA * float(np.median(np.abs(residual[keep] - np.median(residual[keep]))))
        keep = keep & (np.abs(residual) <= OUTLIER * max(spread, 1e-12) + 1e-9)
    return float(value), float(slope), float(spread * np.sqrt(covariance[0, 0]))
