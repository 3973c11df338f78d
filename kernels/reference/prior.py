"""The offset prior: o predicted from the transmissions of both bins."""

from __future__ import annotations

import numpy as np

from kernels.settings import SETTINGS
from kernels.types import F64, OffsetPrior

#: Number of basis functions of :class:`kernels.types.OffsetPrior`.
BASIS = 5


def basis(t: F64) -> F64:
    """L_low, L_high, L_low², L_low L_high, L_high² of t (2, …); returns (5, …)."""
    low, high = -np.log(np.maximum(t, SETTINGS.prior_t_min))
    return np.stack([low, high, low**2, low * high, high**2])


def predict(prior: OffsetPrior, t: F64) -> tuple[F64, F64]:
    """o (2, …) and its derivatives (2 bins of o, 2 bins of t, …) at t (2, …); flat outside the limits of the table."""
    t = np.asarray(t, dtype=np.float64)
    inside = t > SETTINGS.prior_t_min
    low, high = -np.log(np.maximum(t, SETTINGS.prior_t_min))
    values, slopes = [], []
    for c in np.asarray(prior.coefficients, dtype=np.float64):
        ln_o = c[0] * low + c[1] * high + c[2] * low**2 + c[3] * low * high + c[4] * high**2
        clipped = np.clip(ln_o, SETTINGS.prior_ln_min, SETTINGS.prior_ln_max)
        o = np.exp(clipped)
        live = inside & (clipped == ln_o)
        d_low, d_high = c[0] + 2 * c[2] * low + c[3] * high, c[1] + c[3] * low + 2 * c[4] * high
        safe = np.maximum(t, SETTINGS.prior_t_min)
        slopes.append(np.where(live, -np.stack([d_low, d_high]) / safe * o, 0.0))
        values.append(o)
    return np.stack(values), np.stack(slopes)
