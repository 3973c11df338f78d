"""Materials told apart by thickness-independent ratios: the paper's Fig. 2 (a–d) as a probability.

Evidence of every material (a Gaussian around a curve in attenuation, measurement covariance added), of clutter and
of an outlier class; a logistic decision, fitted on training bags, turns it into the probability of a threat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.inference.evidence import Evidence, Explanations
from edge.inference.features import Step, ratios
from edge.inference.model_file import Decision, ModelFile
from edge.messages import Candidate
from kernels.types import F64

#: Names of what is no material of the table, among the candidates.
CLUTTER, OUTLIER = "mixture", "unknown"
_LEAST_CANDIDATE = 0.01
#: Weight that every explanation keeps beside the best one, so that the decision always has a share to scale.
_LEAST_WEIGHT = 1e-12
#: Log evidence ratios beyond these say no more.
_RATIO_LIMITS = (-10.0, 8.0)


@dataclass(frozen=True)
class Posterior:
    """``probabilities`` (K + 2,) of the materials, clutter and the outlier class; ``threat`` sums the threats."""

    probabilities: F64
    threat: float
    outlier: float


def decision_features(evidence: Evidence, threat: F64, area_mm2: float) -> F64:
    """What the decision looks at (21,): evidence ratios, size, attenuation, background, certainty, and products.

    ``threat``: (K,) bool. Products let the weight of a ratio depend on size and background.
    """
    best = float(np.logaddexp.reduce(evidence.classes[threat.astype(bool)]))
    benign = float(np.logaddexp.reduce(evidence.classes[~threat.astype(bool)]))
    material, clutter, outlier = np.clip(
        [best - benign, best - evidence.clutter, best - evidence.outlier], *_RATIO_LIMITS
    )
    _, covariance = ratios(evidence.main)
    size, depth, base = np.log(area_mm2) - 5.0, np.log(evidence.main.attenuation), min(evidence.main.base[0], 2.0)
    certainty = np.log(np.sqrt(covariance[[0, 2], [0, 2]]) + 1e-3) + np.array([3.0, -1.5])
    return np.array([
        material, clutter, outlier, size, depth, base, *certainty, evidence.main.share, evidence.backgrounds - 2.0,
        size**2, depth**2, base**2, material * base, clutter * base, material * size, clutter * size,
        material * clutter / 8, material**2 / 8, clutter**2 / 8, depth * base,
    ])  # fmt: skip


def log_odds(features: F64, decision: Decision) -> float:
    """Log odds that the region is a threat."""
    scaled = (features - np.array(decision.centre)) / np.array(decision.scale)
    return float(decision.intercept + scaled @ np.array(decision.weights))


class Discriminator:
    """Posteriors of regions under one model."""

    def __init__(self, model: ModelFile) -> None:
        self.model = model
        self.explanations = Explanations(model)

    def judge(self, steps: Sequence[Step], area_mm2: float) -> Posterior | None:
        """Probabilities for a region with these steps; None when it is only a part of something else."""
        evidence = self.explanations.weigh(steps)
        if evidence is None:
            return None
        every = np.array([*evidence.classes, evidence.clutter, evidence.outlier])
        weights = np.exp(every - every.max()) + _LEAST_WEIGHT
        probabilities = weights / weights.sum()
        threat = np.append(self.explanations.threat, [False, False])
        share = float(probabilities[threat].sum())
        if self.model.decision is not None:
            features = decision_features(evidence, self.explanations.threat, area_mm2)
            decided = float(1 / (1 + np.exp(-np.clip(log_odds(features, self.model.decision), -30, 30))))
            probabilities = probabilities * np.where(threat, decided / share, (1 - decided) / (1 - share))
            share = decided
        return Posterior(probabilities, min(share, 1.0), float(probabilities[-1]))

    def candidates(self, posterior: Posterior, most: int = 5) -> tuple[Candidate, ...]:
        """The likeliest explanations."""
        order = np.argsort(-posterior.probabilities, kind="stable")[:most]
        names = (*self.explanations.names, CLUTTER, OUTLIER)
        threat = np.append(self.explanations.threat, [False, False])
        likely = [(k, min(float(posterior.probabilities[k]), 1.0)) for k in order]
        return tuple(
            Candidate(material=names[k], probability=p, threat=bool(threat[k]))
            for k, p in likely
            if p >= _LEAST_CANDIDATE
        )
