"""What else lies in bags: a mixture of Gaussians over the same features, fitted on bags without a target.

A region is not always one material on a background; a wrapper, a cover or a cloth over it moves its ratios. Such
composites are learned as they are, given the background they are seen on.
"""

from __future__ import annotations

import numpy as np

from edge.inference.features import FEATURES, Step, ratios
from edge.inference.model_file import Mixture
from kernels.types import F64

#: Dimensions of the mixture: the features, ln of the step's low-bin attenuation, low-bin attenuation of the base.
DIMENSIONS = len(FEATURES) + 2
_BASE = DIMENSIONS - 1


def point(step: Step) -> tuple[F64, F64]:
    """Where ``step`` lies in the mixture's space (6,), and its measurement covariance (6, 6)."""
    values, covariance = ratios(step)
    attenuation = max(step.attenuation, 1e-3)
    where = np.array([*values, np.log(attenuation), step.base[0]])
    spread = np.zeros((DIMENSIONS, DIMENSIONS))
    spread[: len(FEATURES), : len(FEATURES)] = covariance
    spread[_BASE - 1, _BASE - 1] = step.covariance[0, 0] / attenuation**2
    return where, spread


class Clutter:
    """Densities under a fitted mixture."""

    def __init__(self, mixture: Mixture) -> None:
        self._log_weight = np.log(mixture.weight)
        self._mean = np.array(mixture.mean)
        self._variance = np.array(mixture.variance)

    def log_density(self, step: Step) -> float:
        """Log density of the step's features and ln attenuation, given its base."""
        where, spread = point(step)
        total = spread + self._variance[:, :, None] * np.eye(DIMENSIONS)
        offset = where - self._mean
        solved = np.linalg.solve(total, offset[..., None])[..., 0]
        _, log_determinant = np.linalg.slogdet(total)
        joint = -0.5 * ((offset * solved).sum(1) + log_determinant + DIMENSIONS * np.log(2 * np.pi))
        base = self._variance[:, _BASE]
        marginal = -0.5 * (offset[:, _BASE] ** 2 / base + np.log(2 * np.pi * base))
        both = np.logaddexp.reduce(self._log_weight + joint)
        alone = np.logaddexp.reduce(self._log_weight + marginal)
        return float(both - alone)
