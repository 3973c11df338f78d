"""Materials told apart by thickness-independent ratios: the paper's Fig. 2 (a–d) as a probability.

Evidence of every material (a Gaussian around a curve in attenuation, measurement covariance added), of clutter and
of an outlier class; a decision, fitted on training bags, turns it into the probability of a threat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge.inference.decision import Decision, inputs
from edge.inference.evidence import Explanations
from edge.inference.features import Step
from edge.inference.model_file import ModelFile
from edge.messages import Candidate
from kernels.types import F64

Flags = npt.NDArray[np.bool_]

#: Names of what is no material of the table, among the candidates.
CLUTTER, OUTLIER = "mixture", "unknown"
_LEAST_CANDIDATE = 0.01
#: Weight that every explanation keeps beside the best one, so that the decision always has a share to scale.
_LEAST_WEIGHT = 1e-12


@dataclass(frozen=True)
class Posterior:
    """``probabilities`` (K + 2,) of the materials, clutter and the outlier class; ``threat`` sums the threats.

    ``inputs``: what the decision looked at, where there is one.
    """

    probabilities: F64
    threat: float
    outlier: float
    inputs: F64 | None = None

    def with_threat(self, threat: float, is_threat: Flags) -> Posterior:
        """The same explanations with the threats' share ``threat``; ``is_threat``: (K + 2,) which ones are threats."""
        share = float(self.probabilities[is_threat].sum())
        # An explanation keeps a little weight whatever was found, so the share is never 0 or 1 (:data:`_LEAST_WEIGHT`).
        scaled = self.probabilities * np.where(is_threat, threat / share, (1 - threat) / (1 - share))
        return replace(self, probabilities=scaled, threat=min(threat, 1.0), outlier=float(scaled[-1]))


class Discriminator:
    """Posteriors of regions under one model."""

    def __init__(self, model: ModelFile) -> None:
        self.model = model
        self.explanations = Explanations(model)
        #: (K + 2,) which of the materials, clutter and the outlier class are threats.
        self.threat: Flags = np.append(self.explanations.threat, [False, False])
        self._decision = Decision(model.decision) if model.decision else None

    def judge(self, steps: Sequence[Step], area_mm2: float) -> Posterior | None:
        """Probabilities for a region with these steps; None when it is only a part of something else."""
        evidence = self.explanations.weigh(steps)
        if evidence is None:
            return None
        every = np.array([*evidence.classes, evidence.clutter, evidence.outlier])
        weights = np.exp(every - every.max()) + _LEAST_WEIGHT
        probabilities = weights / weights.sum()
        share = float(probabilities[self.threat].sum())
        found = Posterior(probabilities, min(share, 1.0), float(probabilities[-1]))
        if self._decision is None:
            return found
        row = inputs(evidence, self.explanations.threat, area_mm2)
        return self._decided(replace(found, inputs=row), 0.0)

    def softened(self, posterior: Posterior, softness: float) -> Posterior:
        """``posterior`` by trees with soft splits (:meth:`Decision.log_odds`); itself where there is no decision."""
        return self._decided(posterior, softness) if softness > 0 else posterior

    def _decided(self, posterior: Posterior, softness: float) -> Posterior:
        if self._decision is None or posterior.inputs is None:
            return posterior
        odds = self._decision.log_odds(posterior.inputs[None], softness)[0]
        return posterior.with_threat(float(1 / (1 + np.exp(-odds))), self.threat)

    def candidates(self, posterior: Posterior, most: int = 5) -> tuple[Candidate, ...]:
        """The likeliest explanations."""
        order = np.argsort(-posterior.probabilities, kind="stable")[:most]
        names = (*self.explanations.names, CLUTTER, OUTLIER)
        likely = [(k, min(float(posterior.probabilities[k]), 1.0)) for k in order]
        return tuple(
            Candidate(material=names[k], probability=p, threat=bool(self.threat[k]))
            for k, p in likely
            if p >= _LEAST_CANDIDATE
        )
