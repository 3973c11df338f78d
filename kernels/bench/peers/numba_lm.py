"""Levenberg-Marquardt for one pixel after the other, compiled by numba (extra `bench`); threads over pixels.

Plain scalar code with the arrays of one fit on the stack, `fastmath` on, in float32: what a careful
numba user would write.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from kernels.bench.peers.problem import HIGH, LOW, SCALES, TOLERANCE, Fits
from kernels.settings import GROUPS, SETTINGS
from kernels.types import F32

_PITCH = np.float32(SETTINGS.pitch_um)
_ACCEPT, _REJECT = np.float32(SETTINGS.lambda_accept), np.float32(SETTINGS.lambda_reject)
_FIRST, _LEAST, _MOST = (np.float32(x) for x in (SETTINGS.lambda_start, SETTINGS.lambda_min, SETTINGS.lambda_max))
_ITERATIONS = int(SETTINGS.max_iterations)
_FRACTION = np.float32(1 - SETTINGS.variance_fraction)
_STOP = np.float32(TOLERANCE)
_T_LOW, _S_LOW, _V_LOW, _O_LOW = (np.float32(x) for x in LOW)
_T_HIGH, _S_HIGH, _V_HIGH, _O_HIGH = (np.float32(x) for x in HIGH)
_T_UNIT, _S_UNIT, _V_UNIT, _O_UNIT = (np.float32(1 / x) for x in SCALES)
_ONE, _HALF, _TINY, _PIVOT = np.float32(1), np.float32(0.5), np.float32(1e-30), np.float32(1e-7)
_ZERO = np.float32(0)


def _system(y: Any, weight: Any, amplitude: Any, offset: Any, variance: Any, floor: Any, p: Any, n: Any, g: Any) -> Any:
    """Fill JᵀWJ (4, 4, lower triangle) and JᵀWr (4,) at p; return Σ W r²."""
    t, shift, dark_field, o = p[0], p[1], p[2], p[3]
    a0 = a1 = a2 = a3 = b0 = b1 = b2 = b3 = c0 = c1 = c2 = c3 = _ZERO
    for i in range(4):
        inverse = _ONE / (variance[i] + dark_field)
        height = amplitude[i] * math.sqrt(inverse)
        for k in range(-1, 2):
            u = offset[i] + _PITCH * np.float32(k) - shift
            slope = u * inverse
            z = u * slope
            e = height * math.exp(-_HALF * z)
            b = e * slope
            c = _HALF * e * inverse * (z - _ONE)
            to = (i + k) & 3
            if to == 0:
                a0 += e
                b0 += b
                c0 += c
            elif to == 1:
                a1 += e
                b1 += b
                c1 += c
            elif to == 2:
                a2 += e
                b2 += b
                c2 += c
            else:
                a3 += e
                b3 += b
                c3 += c
    for i in range(4):
        g[i] = _ZERO
        for j in range(4):
            n[i, j] = _ZERO
    cost = _ZERO
    for k, (a, b, c) in enumerate(((a0, b0, c0), (a1, b1, c1), (a2, b2, c2), (a3, b3, c3))):
        rest = y[k] - a * t - floor * o
        w = weight[k]
        cost += w * rest * rest
        j1, j2 = b * t, c * t
        wa, w1, w2, w3 = w * a, w * j1, w * j2, w * floor
        n[0, 0] += wa * a
        n[1, 0] += w1 * a
        n[1, 1] += w1 * j1
        n[2, 0] += w2 * a
        n[2, 1] += w2 * j1
        n[2, 2] += w2 * j2
        n[3, 0] += w3 * a
        n[3, 1] += w3 * j1
        n[3, 2] += w3 * j2
        n[3, 3] += w3 * floor
        g[0] += wa * rest
        g[1] += w1 * rest
        g[2] += w2 * rest
        g[3] += w3 * rest
    return cost


def _solve(n: Any, g: Any, grow: Any, x: Any) -> None:
    """x of (N + λ diag N) x = g by LDLᵀ."""
    d0 = n[0, 0] * grow + _TINY
    l10, l20, l30 = n[1, 0] / d0, n[2, 0] / d0, n[3, 0] / d0
    p1, p2, p3 = n[1, 1] * grow, n[2, 2] * grow, n[3, 3] * grow
    d1 = max(p1 - l10 * n[1, 0], p1 * _PIVOT + _TINY)
    q21, q31 = n[2, 1] - l20 * n[1, 0], n[3, 1] - l30 * n[1, 0]
    l21, l31 = q21 / d1, q31 / d1
    d2 = max(p2 - l20 * n[2, 0] - l21 * q21, p2 * _PIVOT + _TINY)
    q32 = n[3, 2] - l30 * n[2, 0] - l31 * q21
    l32 = q32 / d2
    d3 = max(p3 - l30 * n[3, 0] - l31 * q31 - l32 * q32, p3 * _PIVOT + _TINY)
    y1 = g[1] - l10 * g[0]
    y2 = g[2] - l20 * g[0] - l21 * y1
    y3 = g[3] - l30 * g[0] - l31 * y1 - l32 * y2
    x[3] = y3 / d3
    x[2] = y2 / d2 - l32 * x[3]
    x[1] = y1 / d1 - l21 * x[2] - l31 * x[3]
    x[0] = g[0] / d0 - l10 * x[1] - l20 * x[2] - l30 * x[3]


@functools.cache
def _compiled() -> Any:
    """The loop over pixels; compiling takes seconds, once."""
    import numba  # noqa: PLC0415 - optional and slow to import

    options = {"fastmath": True, "error_model": "numpy"}
    system: Any = numba.njit(**options)(_system)
    solve: Any = numba.njit(**options)(_solve)

    def one(
        y: Any, weight: Any, first: Any, amplitude: Any, offset: Any, variance: Any, floor: Any, result: Any
    ) -> None:
        p, trial, step = np.empty(4, np.float32), np.empty(4, np.float32), np.empty(4, np.float32)
        n, fresh_n = np.empty((4, 4), np.float32), np.empty((4, 4), np.float32)
        g, fresh_g = np.empty(4, np.float32), np.empty(4, np.float32)
        bottom = max(_V_LOW, -_FRACTION * min(variance[0], variance[1], variance[2], variance[3]))
        for k in range(4):
            p[k] = first[k]
        cost = system(y, weight, amplitude, offset, variance, floor, p, n, g)
        damping = _FIRST
        for _ in range(_ITERATIONS):
            solve(n, g, _ONE + damping, step)
            trial[0] = min(max(p[0] + step[0], _T_LOW), _T_HIGH)
            trial[1] = min(max(p[1] + step[1], _S_LOW), _S_HIGH)
            trial[2] = min(max(p[2] + step[2], bottom), _V_HIGH)
            trial[3] = min(max(p[3] + step[3], _O_LOW), _O_HIGH)
            far = max(
                abs(trial[0] - p[0]) * _T_UNIT,
                abs(trial[1] - p[1]) * _S_UNIT,
                abs(trial[2] - p[2]) * _V_UNIT,
                abs(trial[3] - p[3]) * _O_UNIT,
            )
            new = system(y, weight, amplitude, offset, variance, floor, trial, fresh_n, fresh_g)
            if new <= cost:
                cost = new
                p, trial = trial, p
                n, fresh_n = fresh_n, n
                g, fresh_g = fresh_g, g
                damping = max(damping * _ACCEPT, _LEAST)
                if far < _STOP:
                    break
            else:
                damping = min(damping * _REJECT, _MOST)
        for k in range(4):
            result[k] = p[k]

    single: Any = numba.njit(**options)(one)

    def every(
        y: Any, weight: Any, first: Any, amplitude: Any, offset: Any, variance: Any, floor: Any, result: Any
    ) -> None:
        for i in numba.prange(len(floor)):
            single(y[i], weight[i], first[i], amplitude[i], offset[i], variance[i], floor[i], result[i])

    return numba.njit(parallel=True, **options)(every), numba.njit(**options)(every), numba.set_num_threads


def fit(fits: Fits, threads: int = 1) -> F32:
    """Results (4, n): t, Δ, τ², o. Raises ImportError without numba."""
    parallel, serial, set_threads = _compiled()
    parts = (fits.y, fits.weight, fits.first, fits.amplitude, fits.offset, fits.variance)
    by_fit = [np.ascontiguousarray(a.T) for a in parts]
    result = np.empty((len(fits), GROUPS), dtype=np.float32)
    if threads > 1:
        set_threads(threads)
    (parallel if threads > 1 else serial)(*by_fit, fits.floor, result)
    found: F32 = result.T
    return found
