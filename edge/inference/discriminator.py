"""Materials told apart by thickness-independent ratios, each class a Gaussian around a curve in attenuation.

The paper's Fig. 2 (a–d) as a probability: ratios that do not depend on thickness, except for beam hardening, which
the curve follows; measurement covariance added to that of the class; an outlier class for everything unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge.inference.features import FEATURES, Step, ratios
from edge.inference.model_file import ModelFile, Packing
from edge.inference.settings import SETTINGS
from edge.messages import Candidate
from kernels.types import F64

#: Name of the outlier class among the candidates.
OUTLIER = "unknown"
#: 1-σ, relative, of the penalty for a step that is thicker or thinner than any fitted sample of the class.
_RANGE_SD = 0.25
_LEAST_CANDIDATE = 0.01


#: Background attenuation beyond this (low bin) hardens the beam no further than was fitted.
_MOST_BASE = 1.5


def basis(attenuation: float | F64, base: tuple[float, float] | F64) -> F64:
    """Functions that class means are linear in, (7, …): of the step's low-bin attenuation (…) and of the
    background's attenuation (2, …) in both bins. Two bins, because plastic and metal harden the beam differently.
    """
    a = np.asarray(attenuation, np.float64)
    low, high = np.asarray(base, np.float64)
    a, low, high = np.broadcast_arrays(a, low, high)
    scale = np.minimum(1, _MOST_BASE / np.maximum(low, 1e-6))
    low, high = low * scale, high * scale
    return np.stack([np.ones_like(a), a, a * a, low, high, a * low, a * high])


def log_density_scale(planes: F64) -> float:
    """Log of the densities' common measure: d(features)/d(planes) at fixed low-bin attenuations.

    Hypotheses that subtract different packings have different features of one measurement; their densities can be
    compared only per unit of what was measured.
    """
    a_lo, a_hi, o_hi = (max(float(planes[i]), 1e-3) for i in (0, 1, 3))
    o_lo = max(float(planes[2]), 1e-3)
    return float(np.log(a_lo / a_hi**2) + np.log(o_lo / o_hi**2) - np.log(a_lo) - np.log(a_hi))


@dataclass(frozen=True)
class Posterior:
    """Probabilities of the classes, the outlier last: (classes + 1,); ``threat`` is the sum over threat materials."""

    probabilities: F64
    threat: float
    outlier: float


class Discriminator:
    """Class posteriors of steps."""

    def __init__(self, model: ModelFile) -> None:
        self.model = model
        self.names = tuple(c.name for c in model.classes)
        self.threat = np.array([c.threat for c in model.classes])
        self._mean = np.array([c.mean for c in model.classes])  # (K, features, basis)
        self._covariance = np.array([c.covariance for c in model.classes]) + np.array(model.in_bag_covariance)
        self._range = np.array([c.attenuation for c in model.classes]).T
        self._log_weight = np.log([c.weight for c in model.classes])
        self._least = SETTINGS.min_step / 2
        low, high = np.array(model.outlier.low), np.array(model.outlier.high)
        self._log_outlier = float(np.log(model.outlier.weight) - np.log(high - low).sum())

    def mean(self, attenuation: float, base: tuple[float, float]) -> F64:
        """Class means (K, features) for a step of this attenuation over this background."""
        inside = np.clip(attenuation, *self._range)
        centre: F64 = np.einsum("kfb,bk->kf", self._mean, basis(inside, np.asarray(base)[:, None]))
        return centre

    def posterior(self, step: Step) -> Posterior:
        """Class probabilities of one step, whatever it is packed in."""
        logs = [self._log_classes(step, packing) for packing in self.model.packings]
        outlier = self._log_outlier + log_density_scale(step.values)
        every = np.append(np.logaddexp.reduce(logs, axis=0), outlier)
        weights = np.exp(every - every.max())
        probabilities = weights / weights.sum()
        return Posterior(probabilities, float(probabilities[:-1][self.threat].sum()), float(probabilities[-1]))

    def _log_classes(self, whole: Step, packing: Packing) -> F64:
        """Log of weight times density of each class (K,) for the step without its packing."""
        planes = np.asarray(packing.planes)
        base = (whole.base[0] + planes[0], whole.base[1] + planes[1])
        step = Step(whole.values - planes, whole.covariance, base, whole.share)
        if step.attenuation < self._least or step.values[1] <= 0:
            return np.full(len(self.names), -np.inf)
        values, covariance = ratios(step)
        total = self._covariance + covariance
        residual = values - self.mean(step.attenuation, base)
        solved = np.linalg.solve(total, residual[..., None])[..., 0]
        _, log_determinant = np.linalg.slogdet(total)
        outside = np.maximum(self._range[0] - step.attenuation, 0) / self._range[0]
        outside = outside + np.maximum(step.attenuation - self._range[1], 0) / self._range[1]
        log_class: F64 = (
            self._log_weight
            - 0.5 * ((residual * solved).sum(1) + log_determinant + len(FEATURES) * np.log(2 * np.pi))
            - 0.5 * (outside / _RANGE_SD) ** 2
        )
        log_class += float(np.log(packing.weight)) + log_density_scale(step.values)
        return log_class

    def judge(self, steps: tuple[Step, ...]) -> Posterior:
        """One posterior from all backgrounds of a region, weighted with the share of the ring that each holds."""
        shares = np.array([step.share for step in steps])
        each = [self.posterior(step) for step in steps]
        mixed = np.average([p.probabilities for p in each], axis=0, weights=shares)
        return Posterior(mixed, float(mixed[:-1][self.threat].sum()), float(mixed[-1]))

    def candidates(self, posterior: Posterior, most: int = 5) -> tuple[Candidate, ...]:
        """The likeliest materials, the outlier class among them as ``unknown``."""
        order = np.argsort(-posterior.probabilities, kind="stable")[:most]
        names, threat = (*self.names, OUTLIER), np.append(self.threat, False)
        return tuple(
            Candidate(
                material=names[k], probability=min(float(posterior.probabilities[k]), 1.0), threat=bool(threat[k])
            )
            for k in order
            if posterior.probabilities[k] >= _LEAST_CANDIDATE
        )
