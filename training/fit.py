"""Class regions from reference samples: a curve in attenuation and the scatter around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.inference.evidence import basis
from edge.inference.features import FEATURES, ratios
from edge.inference.model_file import MaterialClass
from edge.inference.settings import SETTINGS
from kernels.types import F64
from training.samples import Sample

#: Least 1-σ of a class: relative, and absolute; what no finite set of samples may undercut.
LEAST_RELATIVE = np.array([0.004, 0.0, 0.03, 0.05])
LEAST_ABSOLUTE = np.array([0.0, 0.03, 0.3, 0.3])
#: Weak pull of the slopes to zero, so that a class with few samples stays near its mean.
RIDGE = 1e-6
_SIGNIFICANT = 6


def material_class(name: str, threat: bool, samples: Sequence[Sample]) -> MaterialClass:
    """Fit one class. ValueError when no sample can be judged."""
    used = [s for s in samples if s.step.attenuation >= SETTINGS.min_step / 2]
    if not used:  # hardly absorbs at any thickness: its thickest samples say where it is
        used = sorted(samples, key=lambda s: -s.step.attenuation)[:_SIGNIFICANT]
    if not used:
        raise ValueError(f"material {name}: every reference sample is opaque; give thinner steps")
    values, noise = (np.array(part) for part in zip(*(ratios(s.step) for s in used), strict=True))
    at = np.array([[s.step.attenuation, *s.step.base] for s in used])
    design = basis(at[:, 0], at[:, 1:].T).T
    mean = np.stack([_curve(design, values[:, f], noise[:, f, f]) for f in range(len(FEATURES))])
    residual = values - design @ mean.T
    centre = np.abs(values.mean(0))
    least = np.diag((LEAST_RELATIVE * centre) ** 2 + LEAST_ABSOLUTE**2)
    weights = 1 / (np.einsum("nff->n", noise / (least.diagonal() + 1e-12)) + 1)
    excess = np.einsum("n,nf,ng->fg", weights, residual, residual) / weights.sum()
    excess = excess - np.einsum("n,nfg->fg", weights, noise) / weights.sum()
    return MaterialClass(
        name=name,
        threat=threat,
        attenuation=(max(float(at[:, 0].min()), 1e-3), float(at[:, 0].max())),
        samples=len(used),
        mean=_table(mean),
        covariance=_table(_positive(excess) + least),
    )


def _curve(design: F64, values: F64, variance: F64) -> F64:
    """Weighted ridge regression (basis,); terms that the samples do not vary in stay zero."""
    weight = 1 / (variance + np.median(variance))
    weight = weight / weight.sum()
    normal = (design.T * weight) @ design
    penalty = RIDGE * np.trace(normal) * np.diag([0.0, *np.ones(design.shape[1] - 1)])
    solution: F64 = np.linalg.solve(normal + penalty, (design.T * weight) @ values)
    return solution


def _positive(matrix: F64) -> F64:
    """Nearest positive semi-definite matrix."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    positive: F64 = (vectors * np.maximum(values, 0)) @ vectors.T
    return positive


def _table(matrix: F64) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{value:.6g}") for value in row) for row in matrix)
