"""One fit at a time with scipy: curve_fit as most would call it, and least_squares with the analytic Jacobian."""

from __future__ import annotations

import math
import warnings

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit, least_squares

from kernels.bench.peers.problem import REACH, SCALES, Fits
from kernels.settings import GROUPS, SETTINGS
from kernels.types import F64

_PITCH = SETTINGS.pitch_um
_SOURCE = np.array([[(g - k) % GROUPS for k in REACH] for g in range(GROUPS)])  # curves that reach sample g
_AWAY = np.array([[_PITCH * k for k in REACH] for _ in range(GROUPS)])


class _One:
    """One fit: the three curves that reach each of its four samples."""

    def __init__(self, fits: Fits, i: int) -> None:
        parts = (fits.amplitude, fits.offset, fits.variance, fits.y, fits.weight, fits.first)
        amplitude, offset, variance, y, weight, first = (a[:, i].astype(np.float64) for a in parts)
        self.amplitude, self.variance = amplitude[_SOURCE], variance[_SOURCE]
        self.place = offset[_SOURCE] + _AWAY
        self.floor = float(fits.floor[i])
        self.y, self.root, self.first = y, np.sqrt(weight), first

    def curve(self, _at: F64, t: float, shift: float, dark_field: float, o: float) -> F64:
        """Expected counts of the four samples."""
        v = np.maximum(self.variance + dark_field, SETTINGS.variance_fraction * self.variance)
        u = self.place - shift
        e: F64 = (self.amplitude / np.sqrt(v) * np.exp(-(u**2) / (2 * v))).sum(axis=1)
        return e * t + self.floor * o

    def residuals(self, p: F64) -> F64:
        """Weighted residuals (4,)."""
        return self.root * (self.curve(self.y, *p) - self.y)

    def jacobian(self, p: F64) -> F64:
        """Weighted derivatives (4 samples, 4 unknowns)."""
        t, shift, dark_field, _ = p
        v = np.maximum(self.variance + dark_field, SETTINGS.variance_fraction * self.variance)
        u = self.place - shift
        e = self.amplitude / np.sqrt(v) * np.exp(-(u**2) / (2 * v))
        slopes = np.empty((GROUPS, 4))
        slopes[:, 0] = e.sum(axis=1)
        slopes[:, 1] = t * (e * u / v).sum(axis=1)
        slopes[:, 2] = t * (e * (u**2 / v - 1) / (2 * v)).sum(axis=1)
        slopes[:, 3] = self.floor
        return self.root[:, None] * slopes


def fit_curve_fit(fits: Fits) -> F64:
    """Results (4, n) of scipy.optimize.curve_fit (MINPACK, numeric Jacobian); NaN where it gives up."""
    found = np.full((4, len(fits)), math.nan)
    at = np.arange(GROUPS)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        for i in range(len(fits)):
            one = _One(fits, i)
            try:
                found[:, i], _ = curve_fit(one.curve, at, one.y, one.first, 1 / one.root, absolute_sigma=True)
            except RuntimeError:  # no convergence
                continue
    return found


def fit_least_squares(fits: Fits) -> F64:
    """Results (4, n) of scipy.optimize.least_squares, method `lm` (MINPACK), analytic Jacobian, scaled unknowns."""
    found = np.empty((4, len(fits)))
    with np.errstate(all="ignore"):
        for i in range(len(fits)):
            one = _One(fits, i)
            found[:, i] = least_squares(one.residuals, one.first, one.jacobian, method="lm", x_scale=SCALES).x
    return found
