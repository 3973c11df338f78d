"""The offset prior: how much passes the septa, from how much passes the apertures in both bins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.reference.prior import BASIS, basis, predict
from kernels.settings import BINS, SETTINGS
from kernels.types import F32, F64, OffsetPrior

_ITERATIONS = 20
#: Ridge on the scaled coefficients: holds a combination that the absorbers do not determine, and nothing else.
_RIDGE = 1e-8


def fit_prior(t: npt.ArrayLike, o: npt.ArrayLike, sd_o: npt.ArrayLike) -> OffsetPrior:
    """Fit ln o to both bins' −ln t over known absorbers.

    ``t``, ``o``, ``sd_o``: (2 bins, n) transmission, offset and its 1-σ, best of one region of one absorber each.
    Points with a value that is not finite, or t ≤ 0, are left out; at least five must remain. The returned ``sd``
    is the scatter of o about the prediction that ``sd_o`` does not explain. Raises ValueError.
    """
    t_all, o_all, sd_all = (np.asarray(a, dtype=np.float64) for a in (t, o, sd_o))
    if t_all.ndim != 2 or t_all.shape[0] != BINS or not t_all.shape == o_all.shape == sd_all.shape:
        raise ValueError(f"t, o, sd_o: shapes are {t_all.shape}, {o_all.shape}, {sd_all.shape}, expected (2, n) each")
    keep = np.isfinite(t_all + o_all + sd_all).all(axis=0) & (t_all > 0).all(axis=0) & (sd_all > 0).all(axis=0)
    if keep.sum() < BASIS:
        raise ValueError(f"t, o, sd_o: {keep.sum()} usable points, expected at least {BASIS}; add absorbers")
    t_all, o_all, sd_all = t_all[:, keep], o_all[:, keep], sd_all[:, keep]
    design = basis(t_all).T
    coefficients = np.stack([_fit_bin(design, o_all[b], sd_all[b]) for b in range(BINS)])
    prior = OffsetPrior(coefficients, np.zeros(BINS))
    spread = ((o_all - predict(prior, t_all)[0]) ** 2).mean(axis=1) * keep.sum() / max(1, keep.sum() - BASIS)
    sd = np.sqrt(np.maximum(spread - (sd_all**2).mean(axis=1), SETTINGS.prior_sd_min**2))
    return OffsetPrior(coefficients, sd)


def _fit_bin(design: F64, o: F64, sd: F64) -> F64:
    """Gauss-Newton on o = exp(design @ c), weighted with 1/sd², from the best single exponent."""
    scale = np.sqrt((design**2).mean(axis=0)) + 1e-12
    scaled = design / scale
    safe = np.clip(o, 1e-3, None)
    start = float(design[:, 0] @ np.log(safe)) / max(float(design[:, 0] @ design[:, 0]), 1e-12)
    c = np.zeros(BASIS)
    c[0] = start * scale[0]

    def predicted(at: F64) -> F64:
        result: F64 = np.exp(np.clip(scaled @ at, SETTINGS.prior_ln_min, SETTINGS.prior_ln_max))
        return result

    def cost(at: F64) -> float:
        return float((((o - predicted(at)) / sd) ** 2).sum())

    for _ in range(_ITERATIONS):
        value = predicted(c)
        jacobian = scaled * (value / sd)[:, None]
        normal = jacobian.T @ jacobian
        normal += _RIDGE * np.trace(normal) * np.eye(BASIS)
        step = np.linalg.solve(normal, jacobian.T @ ((o - value) / sd))
        length = 1.0
        while length > 1e-3 and cost(c + length * step) > cost(c):
            length /= 2
        c = c + length * step
        if np.abs(length * step).max() < 1e-9:
            break
    return np.asarray(c / scale)


def predict_offset(prior: OffsetPrior, t: npt.ArrayLike) -> F32:
    """o (2, …) float32 that ``prior`` predicts from the transmissions ``t`` (2 bins, …)."""
    checks.prior("prior", prior)
    given = np.asarray(t, dtype=np.float64)
    if given.ndim < 1 or given.shape[0] != BINS:
        raise ValueError(f"t: shape is {given.shape}, expected (2, …)")
    return predict(prior, given)[0].astype(np.float32)
