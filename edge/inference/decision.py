"""From evidence to the probability of a threat: small boosted trees, fitted on training bags.

Evidence ratios alone know nothing of where a region lies; what is suspicious in clothes is usual among circuit
boards. The trees look at the ratios together with size, attenuation and background.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from edge.inference.evidence import Evidence
from edge.inference.features import ratios
from edge.inference.model_file import Trees
from kernels.types import F64

#: What the decision looks at, in this order.
INPUTS = (
    "ln threat / harmless materials", "ln threat / clutter", "ln threat / outlier", "ln area", "ln attenuation",
    "base attenuation", "ln sd R_ab", "ln sd dark-field low", "share of the ring", "backgrounds", "R_ab",
    "dark-field/attenuation low", "dark-field/attenuation high", "ln sd dark-field high",
)  # fmt: skip
#: Log evidence ratios beyond these say no more.
_RATIO_LIMITS = (-30.0, 30.0)


def inputs(evidence: Evidence, threat: npt.NDArray[np.bool_], area_mm2: float) -> F64:
    """:data:`INPUTS` of one region. ``threat``: (K,) which materials are threats."""
    best = np.logaddexp.reduce(evidence.classes[threat])
    harmless = np.logaddexp.reduce(evidence.classes[~threat])
    compared = np.clip([best - harmless, best - evidence.clutter, best - evidence.outlier], *_RATIO_LIMITS)
    values, covariance = ratios(evidence.main)
    certainty = np.log(np.sqrt(np.diag(covariance)) + 1e-4)
    main = evidence.main
    return np.array([
        *compared, np.log(area_mm2), np.log(main.attenuation), main.base[0], certainty[0], certainty[2], main.share,
        evidence.backgrounds, values[0], values[2], values[3], certainty[3],
    ])  # fmt: skip


class Decision:
    """Fitted trees: all of one depth, split nodes numbered level by level from the root."""

    def __init__(self, trees: Trees) -> None:
        self._base = trees.base
        self._input = np.array(trees.input)
        self._cut = np.array(trees.cut)
        self._leaf = np.array(trees.leaf)
        self._depth = int(self._leaf.shape[1]).bit_length() - 1
        #: (inputs,) how far apart the cuts of each input lie: the scale on which it matters.
        cuts = [np.unique(self._cut[self._input == k]) for k in range(len(INPUTS))]
        self._spread = np.array([part.std() if part.size else 0.0 for part in cuts])

    def log_odds(self, rows: F64, softness: float = 0.0) -> F64:
        """Log odds of a threat for ``rows`` (n, inputs): (n,).

        ``softness``: what they are on average if every split is looked up with Gaussian noise of its own, 1-σ in
        units of the spread of its input's cuts. 0: the steps of the trees as they were fitted.
        """
        if softness > 0:
            return self._soft(rows, softness)
        every = np.arange(len(self._leaf))[None, :]
        node = np.zeros((len(rows), len(self._leaf)), np.int64)
        for _ in range(self._depth):
            right = rows[np.arange(len(rows))[:, None], self._input[every, node]] > self._cut[every, node]
            node = 2 * node + 1 + right
        odds: F64 = self._base + self._leaf[every, node - (self._leaf.shape[1] - 1)].sum(1)
        return odds

    def _soft(self, rows: F64, softness: float) -> F64:
        width = np.maximum(softness * self._spread, 1e-9)  # an input with one cut keeps its step
        right = ndtr((rows[:, self._input] - self._cut) / width[self._input])  # (n, trees, splits)
        reach = np.ones((*right.shape[:2], 1))
        for level in range(self._depth):
            p = right[..., 2**level - 1 : 2 ** (level + 1) - 1]
            reach = np.stack([reach * (1 - p), reach * p], -1).reshape(*right.shape[:2], -1)
        odds: F64 = self._base + (reach * self._leaf).sum((1, 2))
        return odds
