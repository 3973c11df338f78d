"""Log evidence of every explanation of a region, over all its backgrounds and packings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.inference.clutter import Clutter
from edge.inference.features import FEATURES, Step, ratios
from edge.inference.model_file import ModelFile, Packing
from edge.inference.settings import SETTINGS
from kernels.types import F64

#: 1-σ, relative, of the penalty for a step that is thicker or thinner than any fitted sample of the class.
_RANGE_SD = 0.25
#: Background attenuation beyond this (low bin) hardens the beam no further than was fitted.
_MOST_BASE = 1.5
#: Planes of a step by index (see edge.inference.tiles.PLANES).
_A_HI, _O_LO, _O_HI = 1, 2, 3


@dataclass(frozen=True)
class Evidence:
    """Log of weight times density: ``classes`` (K,) materials, ``clutter``, ``outlier``; ``main`` is the step
    against the background that holds most of the ring.
    """

    classes: F64
    clutter: float
    outlier: float
    main: Step
    backgrounds: int


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
    """Log of d(features)/d(planes) at fixed low-bin attenuations: the densities' common measure.

    Hypotheses that subtract different packings or backgrounds have different features of one measurement; their
    densities can be compared only per unit of what was measured.
    """
    a_hi, o_lo, o_hi = (max(float(planes[i]), 1e-3) for i in (_A_HI, _O_LO, _O_HI))
    return float(np.log(o_lo) - 3 * np.log(a_hi) - 2 * np.log(o_hi))


class Explanations:
    """The materials, packings, clutter and outlier class of one model."""

    def __init__(self, model: ModelFile) -> None:
        self.names = tuple(c.name for c in model.classes)
        self.threat = np.array([c.threat for c in model.classes])
        self._packings = model.packings
        self._mean = np.array([c.mean for c in model.classes])  # (K, features, basis)
        self._covariance = np.array([c.covariance for c in model.classes])
        self._range = np.array([c.attenuation for c in model.classes]).T
        self._log_weight = np.log([c.weight for c in model.classes])
        self._clutter = Clutter(model.clutter) if model.clutter else None
        low, high = np.array(model.outlier.low), np.array(model.outlier.high)
        self._log_outlier = float(np.log(model.outlier.weight) - np.log(high - low).sum())

    def mean(self, attenuation: float, base: tuple[float, float]) -> F64:
        """Class means (K, features) for a step of this attenuation over this background."""
        inside = np.clip(attenuation, *self._range)
        centre: F64 = np.einsum("kfb,bk->kf", self._mean, basis(inside, np.asarray(base)[:, None]))
        return centre

    def weigh(self, steps: Sequence[Step]) -> Evidence | None:
        """Evidence of a region from its steps; None when nothing but parts of itself surrounds it.

        Each background counts with the share of the ring that it holds. A step within one thing may explain a region
        as something harmless, never as a threat: what is not separated by an edge is no thing of its own.
        """
        across = [step for step in steps if not step.within]
        if not across:
            return None
        weighed = np.array([self._one(step) + np.log(step.share) for step in steps])
        total = np.logaddexp.reduce(weighed, axis=0)
        main = max(across, key=lambda step: step.share)
        return Evidence(total[:-2], float(total[-2]), float(total[-1]), main, len(steps))

    def _one(self, step: Step) -> F64:
        """Log evidence (K + 2,) from one background: materials, clutter, outlier."""
        scale = log_density_scale(step.values)
        classes = np.logaddexp.reduce([self._classes(step, packing) for packing in self._packings], axis=0)
        if step.within:
            classes = np.where(self.threat, -np.inf, classes)
        clutter = self._clutter.log_density(step) + scale if self._clutter else -np.inf
        return np.array([*classes, clutter, self._log_outlier + scale])

    def _classes(self, whole: Step, packing: Packing) -> F64:
        """Log of weight times density of each class (K,) for the step without its packing."""
        planes = np.asarray(packing.planes)
        base = (whole.base[0] + planes[0], whole.base[1] + planes[1])
        step = Step(whole.values - planes, whole.covariance, base, whole.share, whole.within)
        if step.attenuation < SETTINGS.min_step / 2 or step.values[_A_HI] <= 0:
            return np.full(len(self.names), -np.inf)
        values, covariance = ratios(step)
        total = self._covariance + covariance
        residual = values - self.mean(step.attenuation, base)
        solved = np.linalg.solve(total, residual[..., None])[..., 0]
        _, log_determinant = np.linalg.slogdet(total)
        outside = np.maximum(self._range[0] - step.attenuation, 0) / self._range[0]
        outside = outside + np.maximum(step.attenuation - self._range[1], 0) / self._range[1]
        # Any thickness of the class's range is as likely as any other; per unit of ln attenuation, as the clutter is.
        thickness = np.log(step.attenuation / np.maximum(self._range[1] - self._range[0], 0.05))
        log_class: F64 = (
            self._log_weight
            + thickness
            - 0.5 * ((residual * solved).sum(1) + log_determinant + len(FEATURES) * np.log(2 * np.pi))
            - 0.5 * (outside / _RANGE_SD) ** 2
        )
        log_class += float(np.log(packing.weight)) + log_density_scale(step.values)
        return log_class
