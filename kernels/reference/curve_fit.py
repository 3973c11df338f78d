"""Equation (1) fitted to a mask scan: 13 parameters per row and bin, in float64."""

from __future__ import annotations

import numpy as np

from kernels.reference.model import neighbours
from kernels.settings import GROUPS, SETTINGS
from kernels.types import F64, Model

#: Parameters of one row and bin: four areas, four centres, four widths, one floor.
PARAMETERS = 3 * GROUPS + 1
#: A sample weighs as if it had at least this fraction of the highest count.
LEAST_WEIGHT = 0.01
_ITERATIONS = 60


def model_of_scan(positions_um: F64, p: F64, model: Model) -> tuple[F64, F64]:
    """Counts (P, 4) of every group at every mask position and derivatives (P, 4, 13) for parameters ``p`` (13,)."""
    pitch = SETTINGS.pitch_um
    area, centre, width, floor = p[:4], p[4:8], p[8:12], p[12]
    counts = np.full((len(positions_um), GROUPS), floor)
    slopes = np.zeros((len(positions_um), GROUPS, PARAMETERS))
    slopes[..., 12] = 1.0
    for group in range(GROUPS):
        for i, wraps in neighbours(group, model):
            u = positions_um + pitch * group - centre[i] - pitch * GROUPS * wraps
            shape = np.exp(-(u**2) / (2 * width[i] ** 2)) / (np.sqrt(2 * np.pi) * width[i])
            counts[:, group] += area[i] * shape
            slopes[:, group, i] += shape
            slopes[:, group, 4 + i] += area[i] * shape * u / width[i] ** 2
            slopes[:, group, 8 + i] += area[i] * shape * (u**2 / width[i] ** 2 - 1) / width[i]
    return counts, slopes


def start(positions_um: F64, flats: F64) -> F64:
    """First guess (13,) from the moments of each group's own curve, ``flats`` (P, 4)."""
    p = np.empty(PARAMETERS)
    floor = float(np.quantile(flats, 0.02))
    p[12] = floor
    for group in range(GROUPS):
        y = np.clip(flats[:, group] - floor, 0, None)
        # A group also sees its neighbours' curves; its own one is the one within half a pitch.
        peak = int(np.argmax(np.where(np.abs(positions_um) <= SETTINGS.pitch_um / 2, y, 0)))
        near = (y > 0.3 * y[peak]) & (np.abs(positions_um - positions_um[peak]) < SETTINGS.pitch_um / 3)
        at = positions_um[near] @ y[near] / y[near].sum()
        spread = np.sqrt(np.maximum((positions_um[near] - at) ** 2 @ y[near] / y[near].sum(), 1.0))
        p[8 + group] = 1.35 * spread  # of a Gaussian cut at 30 % of its peak
        p[4 + group] = at + SETTINGS.pitch_um * group
        p[group] = y[peak] * p[8 + group] * np.sqrt(2 * np.pi)
    return p


def fit(positions_um: F64, flats: F64, model: Model) -> tuple[F64, float]:
    """Weighted least squares of one row and bin, ``flats`` (P, 4); returns (13,) and the rms residual / peak."""
    p = start(positions_um, flats)
    damping = 1e-3
    weight = 1 / np.maximum(flats, LEAST_WEIGHT * flats.max())
    counts, slopes = model_of_scan(positions_um, p, model)
    cost = float((weight * (flats - counts) ** 2).sum())
    for _ in range(_ITERATIONS):
        normal = np.einsum("pgi,pg,pgj->ij", slopes, weight, slopes)
        gradient = np.einsum("pgi,pg,pg->i", slopes, weight, flats - counts)
        step = np.linalg.solve(normal + np.diag(damping * np.diag(normal) + 1e-300), gradient)
        trial = p + step
        trial[8:12] = np.clip(trial[8:12], 1.0, SETTINGS.pitch_um)
        trial_counts, trial_slopes = model_of_scan(positions_um, trial, model)
        trial_cost = float((weight * (flats - trial_counts) ** 2).sum())
        if trial_cost <= cost:
            small = np.abs(trial - p).max() < 1e-9 * max(1.0, float(np.abs(p).max()))
            p, counts, slopes, cost = trial, trial_counts, trial_slopes, trial_cost
            damping = max(damping * SETTINGS.lambda_accept, 1e-12)
            if small:
                break
        else:
            damping = min(damping * SETTINGS.lambda_reject, 1e12)
    return p, float(np.sqrt(np.mean((flats - counts) ** 2)) / (counts.max() - p[12]))
