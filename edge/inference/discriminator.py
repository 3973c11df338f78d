"""Materials told apart by thickness-independent ratios: the paper's Fig. 2 (a–d) as a probability.

Evidence of every material (a Gaussian around a curve in attenuation, measurement covariance added), of clutter and
of an outlier class; a decision, fitted on training bags, turns it into the probability of a threat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge.inference.decision import Decision, inputs
from edge.inference.evidence import Explanations
from edge.inference.features import Step
from edge.inference.model_file import ModelFile
from edge.messages import Candidate
from kernels.types import F64

#: Names of what is no material of the table, among the candidates.
CLUTTER, OUTLIER = "mixture", "unknown"
_LEAST_CANDIDATE = 0.01
#: Weight that every explanation keeps beside the best one, so that the decision always has a share to scale.
_LEAST_WEIGHT = 1e-12


@dataclass(frozen=True)
class Posterior:
    """``probabilities`` (K + 2,) of the materials, clutter and the outlier class; ``threat`` sums the threats."""

    probabilities: F64
    threat: float
    outlier: float


class Discriminator:
    """Posteriors of regions under one model."""

    def __init__(self, model: ModelFile) -> None:
        self.model = model
        self.explanations = Explanations(model)
        self._decision = Decision(model.decision) if model.decision else None

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
        if self._decision is not None:
            odds = self._decision.log_odds(inputs(evidence, self.explanations.threat, area_mm2)[None])[0]
            decided = float(1 / (1 + np.exp(-odds)))
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
