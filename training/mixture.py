"""Gaussian mixture with diagonal variance by expectation maximisation; small, deterministic."""

from __future__ import annotations

import numpy as np

from edge.inference.model_file import Mixture
from kernels.types import F64

COMPONENTS, ROUNDS = 40, 60
#: Least 1-σ of a component in each dimension of edge.inference.clutter.point.
LEAST_SD = np.array([0.03, 0.02, 2.0, 2.0, 0.1, 0.03])


def fit_mixture(points: F64, seed: int, components: int = COMPONENTS) -> Mixture:
    """Fit ``points`` (n, dimensions). ValueError when there are fewer points than components."""
    if len(points) < components:
        raise ValueError(f"{len(points)} points are too few for {components} components; simulate more bags")
    rng = np.random.default_rng([seed, 0x61])
    scale = points.std(0) + LEAST_SD
    mean = points[_spread_start(points / scale, components, rng)]
    variance = np.tile((scale / 3) ** 2, (components, 1))
    weight = np.full(components, 1 / components)
    for _ in range(ROUNDS):
        share = _responsibilities(points, weight, mean, variance)
        total = share.sum(0) + 1e-9
        mean = (share.T @ points) / total[:, None]
        variance = (share.T @ points**2) / total[:, None] - mean**2
        variance = np.maximum(variance, LEAST_SD**2)
        weight = total / total.sum()
    kept = np.argsort(-weight, kind="stable")
    kept = kept[weight[kept] > 1e-4]
    return Mixture(
        weight=tuple(float(f"{w:.5g}") for w in weight[kept]),
        mean=tuple(tuple(float(f"{v:.5g}") for v in row) for row in mean[kept]),
        variance=tuple(tuple(float(f"{v:.5g}") for v in row) for row in variance[kept]),
    )


def _spread_start(points: F64, components: int, rng: np.random.Generator) -> list[int]:
    """k-means++: far points are likelier starts."""
    chosen = [int(rng.integers(len(points)))]
    distance = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < components:
        chosen.append(int(rng.choice(len(points), p=distance / distance.sum())))
        distance = np.minimum(distance, ((points - points[chosen[-1]]) ** 2).sum(1))
    return chosen


def _responsibilities(points: F64, weight: F64, mean: F64, variance: F64) -> F64:
    """Share of each component in each point: (n, components)."""
    log = np.log(weight) - 0.5 * np.log(variance).sum(1)
    inverse = 1 / variance
    log = log - 0.5 * (points**2 @ inverse.T - 2 * points @ (mean * inverse).T + (mean**2 * inverse).sum(1))
    log -= log.max(1, keepdims=True)
    share = np.exp(log)
    normalised: F64 = share / share.sum(1, keepdims=True)
    return normalised
