"""Bias and skew of a maximum-likelihood fit to the second order in the noise, by differences of the model.

The bias is −½ C Jᵀ W tr(C H) (Cox and Snell 1968; Box 1971): C the covariance, J the slopes, W the weights, H the
second derivatives of each sample. The curvature of the prior's f(t) is left out, as it is in the kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.reference.model import DARK_FIELD, OFFSET, T, evaluate
from kernels.settings import GROUPS, SETTINGS
from kernels.types import F64, U16, Flag

if TYPE_CHECKING:
    from kernels.reference.retrieval import Problem

#: Step of the second differences, in σ.
_STEP = 1e-3
_UNUSABLE = Flag.NOT_CONVERGED | Flag.BOUND_HIT | Flag.SINGULAR


def _bend(problem: Problem, at: F64, along: F64) -> F64:
    """Second derivative of the samples (n, b, 4) along a direction (n, b, 4) in t, Δ, τ² and o."""
    here, up, down = (
        evaluate(problem.curves, problem.x_um, at + k * along, problem.model)[0] for k in (0.0, _STEP, -_STEP)
    )
    curvature: F64 = (up - 2 * here + down) / _STEP**2
    return curvature


def _inverse(normal: F64) -> F64:
    """Of normal equations (n, k, k), scaled to a unit diagonal; an unknown without effect stays without."""
    d = np.sqrt(np.einsum("nii->ni", normal))
    d = np.where(d > 0, d, 1.0)
    scaled = normal / d[:, :, None] / d[:, None, :] + 1e-14 * np.eye(normal.shape[1])
    inverse: F64 = np.linalg.inv(scaled) / d[:, :, None] / d[:, None, :]
    return inverse


def apply(problem: Problem, p: F64, normal: F64, chain: F64, sigma: F64, flags: U16) -> tuple[F64, F64, U16]:
    """Unknowns (n, b, 4) without their bias, σ, and flags, from those of the fit, its normal equations (n, 4 b, 4 b)
    and d(t, Δ, τ², o)/d(unknowns)."""
    n, bins = p.shape[:2]
    tied = problem.prior is not None
    at = problem.physical(p)
    residual, jacobian, weight, slopes = problem.system(p)
    blurred = at[..., DARK_FIELD] + (problem.curves[2] ** 2).mean(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = sigma[..., DARK_FIELD] / blurred if tied else sigma[..., T] / at[..., T]
    live = ((flags & int(_UNUSABLE)) == 0) & (relative > SETTINGS.second_order_spread)
    inverse = _inverse(normal)
    whole = (chain @ inverse @ chain.transpose(0, 2, 1)).reshape(n, bins, 4, bins, 4)
    own = np.stack([whole[:, b, :, b] for b in range(bins)], axis=1)
    own = np.where(live[..., None, None], own, np.eye(4))

    shape = np.linalg.cholesky(own[..., :OFFSET, :OFFSET])
    trace: F64 = np.zeros((n, bins, GROUPS))
    for k in range(OFFSET):
        column = np.concatenate([shape[..., k], np.zeros((n, bins, 1))], axis=-1)
        trace = trace + _bend(problem, at, column)
    pull = np.zeros_like(residual)
    pull[:, : bins * GROUPS] = (0.5 * trace * live[..., None]).reshape(n, -1)
    right = np.einsum("nmi,nm,nm->ni", jacobian, weight, pull)
    step = (inverse @ right[..., None])[..., 0].reshape(p.shape)
    worst = (step[..., :OFFSET] ** 2 / np.einsum("nbkk->nbk", own)[..., :OFFSET]).max(axis=-1)
    per_part = 1 / np.sqrt(np.maximum(worst, 1e-30))
    share = np.minimum(np.maximum(1 - SETTINGS.bias_least * per_part, 0.0), SETTINGS.bias_most * per_part)
    share = np.where(live, share, 0.0)
    moved = problem.clip(p + share[..., None] * step)

    leads = DARK_FIELD if tied else T
    along = own[..., leads] / np.sqrt(own[..., leads, leads])[..., None]
    slope = np.einsum("nbgk,nbk->nbg", slopes, along)
    w = weight[:, : bins * GROUPS].reshape(n, bins, GROUPS)
    gain = problem.gain[:, None, None]
    skew = (0.5 * w**2 / gain * slope**3 - w * slope * _bend(problem, at, along)).sum(-1)
    skew = np.where(live, skew, 0.0)
    limit = SETTINGS.skew_growth if tied else SETTINGS.skew_growth_free
    skewed = (np.abs(skew) > limit) | (share > 0)
    flags = flags | np.where(skewed, int(Flag.SKEWED), 0).astype(np.uint16)
    if tied:  # the longer side of a skewed interval of 5 σ as far as 5 σ are to hold, of one σ beyond
        grown = np.maximum(skew, SETTINGS.skew_reach * np.minimum(skew, SETTINGS.skew_growth))
        wider = sigma + np.maximum(grown, 0.0)[..., None] * np.where(live[..., None], np.abs(along), 0.0)
        sigma = SETTINGS.map_coverage * wider
    return moved, sigma, flags
