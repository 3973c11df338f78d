"""The illumination-curve model, equations (1) and (2), with derivatives."""

from __future__ import annotations

import numpy as np

from kernels.settings import GROUPS, SETTINGS
from kernels.types import F64, IlluminationCurves, Model

#: Index into the last axis of the unknowns.
T, REFRACTION, DARK_FIELD, OFFSET = range(4)


#: area, centre, width (…, 4) and floor (…) in float64.
Curves = tuple[F64, F64, F64, F64]


def widen(curves: IlluminationCurves) -> Curves:
    """The fields of ``curves`` in float64."""
    area, centre, width, floor = (
        np.asarray(a, dtype=np.float64) for a in (curves.area, curves.centre, curves.width, curves.floor)
    )
    return area, centre, width, floor


def neighbours(group: int, model: Model) -> tuple[tuple[int, int], ...]:
    """(curve, wraps) of the Gaussians that reach the sample point of ``group``.

    `paper` is equation (2) as printed, all four. Otherwise own, left and right, wrapped into the next period.
    """
    if model == "paper":
        return tuple((curve, 0) for curve in range(GROUPS))
    near = (group, group - 1, group + 1)
    return tuple((curve % GROUPS, curve // GROUPS) for curve in near)


def evaluate(curves: Curves, x_um: float, unknowns: F64, model: Model) -> tuple[F64, F64]:
    """Expected counts of the four groups and their derivatives, equation (2).

    ``curves``: area, centre, width (…, 4) and floor (…); ``unknowns`` (…, 4) = t, Δ µm, τ² µm², o; all broadcast
    together. Returns counts (…, 4 groups) and derivatives (…, 4 groups, 4 unknowns).
    """
    area, centre, width, floor = curves
    pitch = SETTINGS.pitch_um
    t, shift, tau2, offset = (unknowns[..., k] for k in range(4))
    counts, jacobian = [], []
    for group in range(GROUPS):
        total = d_shift = d_tau2 = np.zeros(np.broadcast_shapes(t.shape, floor.shape))
        for curve, wraps in neighbours(group, model):
            variance = width[..., curve] ** 2 + tau2
            u = x_um + pitch * group - centre[..., curve] - pitch * GROUPS * wraps - shift
            e = area[..., curve] / np.sqrt(2 * np.pi * variance) * np.exp(-(u**2) / (2 * variance))
            total = total + e
            d_shift = d_shift + e * u / variance
            d_tau2 = d_tau2 + e * (u**2 / variance - 1) / (2 * variance)
        counts.append(total * t + floor * offset)
        jacobian.append(np.stack(np.broadcast_arrays(total, t * d_shift, t * d_tau2, floor), axis=-1))
    return np.stack(counts, axis=-1), np.stack(jacobian, axis=-2)


def flat_model(curves: IlluminationCurves, x_um: float, model: Model) -> F64:
    """Modelled air counts (4, 2, rows) of one frame and pixel: equation (2) with t = o = 1, Δ = τ² = 0."""
    air = np.array([1.0, 0.0, 0.0, 1.0])
    parts = widen(curves)
    counts, _ = evaluate(parts, x_um, np.broadcast_to(air, (*parts[3].shape, 4)), model)
    return np.moveaxis(counts, -1, 0)
