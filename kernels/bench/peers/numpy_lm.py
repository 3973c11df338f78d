"""Levenberg-Marquardt over many pixels at once in NumPy: every operation is one array operation over the batch.

Batches fit into the second-level cache, settled fits leave the batch, the 4 × 4 systems are solved by elimination
written out in array operations (numpy.linalg.solve on (n, 4, 4) is slower), all in float32.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from kernels.bench.peers.problem import HIGH, LOW, REACH, SCALES, TOLERANCE, Fits
from kernels.settings import GROUPS, SETTINGS
from kernels.types import F32

BATCH = 8192
_LEAST = np.float32(1e-7)


def fit(fits: Fits, threads: int = 1) -> F32:
    """Results (4, n): t, Δ, τ², o."""
    parts = [slice(i, i + BATCH) for i in range(0, len(fits), BATCH)]
    with np.errstate(all="ignore"):
        if threads <= 1:
            return np.concatenate([_batch(fits.part(part)) for part in parts], axis=1)
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(lambda part: _quiet(fits.part(part)), parts)), axis=1)


def _quiet(fits: Fits) -> F32:
    with np.errstate(all="ignore"):  # a setting of each thread
        return _batch(fits)


def _batch(fits: Fits) -> F32:
    result = fits.first.copy()
    at = np.arange(len(fits))
    low, high = (np.array(b, dtype=np.float32)[:, None] for b in (LOW, HIGH))
    scale = np.array(SCALES, dtype=np.float32)[:, None]
    p = fits.first.copy()
    damping = np.full(len(fits), SETTINGS.lambda_start, dtype=np.float32)
    cost, normal, gradient = _system(fits, p)
    for _ in range(int(SETTINGS.max_iterations)):
        trial = p + _solve(normal, gradient, 1 + damping)
        bottom = np.maximum(low[2], -(1 - np.float32(SETTINGS.variance_fraction)) * fits.variance.min(axis=0))
        np.clip(trial, low, high, out=trial)
        np.maximum(trial[2], bottom, out=trial[2])
        far = (np.abs(trial - p) / scale).max(axis=0)
        trial_cost, trial_normal, trial_gradient = _system(fits, trial)
        better = trial_cost <= cost
        p = np.where(better, trial, p)
        cost = np.where(better, trial_cost, cost)
        normal = [np.where(better, new, old) for new, old in zip(trial_normal, normal, strict=True)]
        gradient = [np.where(better, new, old) for new, old in zip(trial_gradient, gradient, strict=True)]
        damping = damping * np.where(better, np.float32(SETTINGS.lambda_accept), np.float32(SETTINGS.lambda_reject))
        np.clip(damping, SETTINGS.lambda_min, SETTINGS.lambda_max, out=damping)
        settled = better & (far < TOLERANCE)
        result[:, at] = p
        if settled.any():
            left = np.flatnonzero(~settled)
            if len(left) == 0:
                break
            at, p, cost, damping = at[left], p[:, left], cost[left], damping[left]
            normal, gradient = [a[left] for a in normal], [a[left] for a in gradient]
            fits = fits.part(left)
    return result


def _system(fits: Fits, p: F32) -> tuple[F32, list[F32], list[F32]]:
    """Σ W r² (n,), the ten entries of JᵀWJ and the four of JᵀWr."""
    t, shift, dark_field, o = p
    a, b, c = (np.zeros_like(fits.y) for _ in range(3))
    for i in range(GROUPS):
        inverse = 1 / (fits.variance[i] + dark_field)
        amplitude = fits.amplitude[i] * np.sqrt(inverse)
        own = fits.offset[i] - shift
        for k in REACH:
            g = (i + k) % GROUPS
            u = own + np.float32(SETTINGS.pitch_um * k)
            slope = u * inverse
            z = u * slope
            e = amplitude * np.exp(np.float32(-0.5) * z)
            a[g] += e
            b[g] += e * slope
            c[g] += np.float32(0.5) * e * inverse * (z - 1)
    rest = fits.y - a * t - fits.floor * o
    columns = (a, b * t, c * t, fits.floor)
    weighted = [fits.weight * column for column in columns]
    cost: F32 = (fits.weight * rest * rest).sum(axis=0)
    normal = [(weighted[i] * columns[j]).sum(axis=0) for i in range(4) for j in range(i + 1)]
    gradient = [(column * rest).sum(axis=0) for column in weighted]
    return cost, normal, gradient


def _solve(normal: list[F32], gradient: list[F32], grow: F32) -> F32:
    """x of (N + λ diag N) x = g by LDLᵀ; ``normal`` is the lower triangle by rows."""
    n00, n10, n11, n20, n21, n22, n30, n31, n32, n33 = normal
    d0 = n00 * grow + np.float32(1e-30)
    l10, l20, l30 = n10 / d0, n20 / d0, n30 / d0
    p1, p2, p3 = n11 * grow, n22 * grow, n33 * grow
    d1 = np.maximum(p1 - l10 * n10, p1 * _LEAST + np.float32(1e-30))
    q21, q31 = n21 - l20 * n10, n31 - l30 * n10
    l21, l31 = q21 / d1, q31 / d1
    d2 = np.maximum(p2 - l20 * n20 - l21 * q21, p2 * _LEAST + np.float32(1e-30))
    q32 = n32 - l30 * n20 - l31 * q21
    l32 = q32 / d2
    d3 = np.maximum(p3 - l30 * n30 - l31 * q31 - l32 * q32, p3 * _LEAST + np.float32(1e-30))
    g0, g1, g2, g3 = gradient
    y1 = g1 - l10 * g0
    y2 = g2 - l20 * g0 - l21 * y1
    y3 = g3 - l30 * g0 - l31 * y1 - l32 * y2
    x3 = y3 / d3
    x2 = y2 / d2 - l32 * x3
    x1 = y1 / d1 - l21 * x2 - l31 * x3
    x0 = g0 / d0 - l10 * x1 - l20 * x2 - l30 * x3
    return np.stack([x0, x1, x2, x3])
