"""The rule that joins network and discriminator, fitted on bags that neither has seen.

Of the weights of :mod:`edge.inference.fusion` under which the labels of the bags are about likeliest, the steadiest are
taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from edge.inference import fusion
from edge.inference.tiles import Bool
from kernels.types import F32, F64
from training.fit_network.metrics import I64

#: Ratio of the two weights, as an angle: 0 is the network alone, π/2 the discriminator alone.
ANGLES = np.linspace(0, np.pi / 2, 19)
#: Log odds tried for what the discriminator does not judge.
UNCOVERED = (-6.0, -4.0, -3.0, -2.0, -1.0, 0.0)
#: The first combination is the network by itself.
COMBINATIONS = tuple(product(ANGLES.tolist(), UNCOVERED))
#: Weights of network and discriminator in each of them, but for their scale: (combinations, 2).
DIRECTIONS = np.array([(np.cos(angle), np.sin(angle)) for angle, _ in COMBINATIONS])
#: Standard errors of the loss by which a rule may be worse, if the discriminator weighs less in it [Breiman 1984].
SLACK = 1.0
#: Parts in which bags are dealt to be judged by what the others have fitted.
FOLDS = 5
SEED = 0xF05E
#: Newton's method: steps, and how far each may go.
_STEPS, _LONGEST_STEP = 40, 2.0


@dataclass(frozen=True)
class Bag:
    """One bag at the blocks of the discriminator: heat of the network, log odds of the discriminator (NaN where it
    judges nothing), blocks of the target (None without one), and the discriminator's own score.
    """

    heat: F32
    material: F32
    target: Bool | None
    score: float


@dataclass(frozen=True)
class Rule:
    """Weights of the fusion."""

    heat_weight: float
    material_weight: float
    uncovered: float
    bias: float

    def level(self, bag: Bag) -> float:
        """L that decides: of a target, the highest there; of a bag without one, the highest anywhere."""
        return self.bias + raw(bag, (self.heat_weight, self.material_weight), self.uncovered)

    def highest(self, bag: Bag) -> float:
        """L of the whole bag, which the lane reports."""
        anywhere = Bag(bag.heat, bag.material, None, bag.score)
        return self.bias + raw(anywhere, (self.heat_weight, self.material_weight), self.uncovered)


def raw(bag: Bag, weights: tuple[float, float], uncovered: float) -> float:
    """The highest weighted sum, on the target where there is one."""
    material = np.where(np.isnan(bag.material), np.float32(uncovered), bag.material)
    level = np.float32(weights[0]) * bag.heat + np.float32(weights[1]) * material
    return float(level.max() if bag.target is None else level[bag.target].max())


def candidates(bags: Sequence[Bag]) -> F64:
    """Levels of all ``bags`` under every combination of :data:`ANGLES` and :data:`UNCOVERED`: (combinations, n)."""
    tried = [((heat, material), u) for (heat, material), (_, u) in zip(DIRECTIONS.tolist(), COMBINATIONS, strict=True)]
    return np.array([[raw(bag, weights, uncovered) for bag in bags] for weights, uncovered in tried])


def fit(bags: Sequence[Bag]) -> Rule:
    """Of the rules under which the labels of ``bags`` are likeliest, the steadiest (:func:`steadiest`)."""
    return weighed(candidates(bags), np.array([bag.target is not None for bag in bags]))


def weighed(levels: F64, label: Bool) -> Rule:
    """:func:`fit` of :func:`candidates`, or of the first so many of them."""
    _, scale, bias = logistic(levels, label)
    weights = scale[:, None] * DIRECTIONS[: len(levels)]
    best = steadiest(unseen(levels, label), weights[:, 1])
    heat, material = weights[best].tolist()
    return Rule(heat, material, COMBINATIONS[best][1], float(bias[best]))


def folds(label: Bool) -> I64:
    """Part of each bag, both labels alike in each: (n,)."""
    rng, fold = np.random.default_rng(SEED), np.zeros(len(label), np.int64)
    for kind in (True, False):
        members = np.flatnonzero(label == kind)
        fold[rng.permutation(members)] = np.arange(len(members)) % FOLDS
    return fold


def unseen(levels: F64, label: Bool) -> F64:
    """Losses of bags under rules whose scale and bias the other parts of the bags have fitted: (rules, n)."""
    made, fold = np.zeros(levels.shape), folds(label)
    for k in range(FOLDS):
        others, these = fold != k, fold == k
        _, scale, bias = logistic(levels[:, others], label[others])
        made[:, these] = losses(scale[:, None] * levels[:, these] + bias[:, None], label[these], label[others])
    return made


def worth_joining(bags: Sequence[Bag], levels: F64, label: Bool) -> bool:
    """Whether bags that nothing was fitted on are told apart better with the discriminator than by the network alone.

    ``levels``: :func:`candidates` of ``bags``. Better by more than :data:`SLACK` standard errors; the choice of the
    rule adapts to the bags that it is made on, so it is repeated without those that judge it.
    """
    fold, gain = folds(label), np.zeros(len(label))
    for k in range(FOLDS):
        others, these = fold != k, fold == k
        cost = []
        for some in (levels[:1], levels):
            rule = weighed(some[:, others], label[others])
            level = np.array([[rule.level(bags[i]) for i in np.flatnonzero(these).tolist()]])
            cost.append(losses(level, label[these], label[others])[0])
        gain[these] = cost[0] - cost[1]
    return bool(gain.mean() > SLACK * gain.std() / np.sqrt(len(gain)))


def steadiest(loss: F64, material_weight: F64) -> int:
    """The rule in which the discriminator weighs least, of those about as good as the best: ``loss`` (rules, bags).

    Losses are of bags that the rule was not fitted on. A rule is when its loss is above the best one by at most
    :data:`SLACK` standard errors of the difference. From one scan of a bag to the next the discriminator's log odds
    move several times as far as the network's.
    """
    rounded = np.round(loss, 9)
    worse = rounded - rounded[int(np.argmin(rounded.mean(1)))]
    error = worse.std(1) / np.sqrt(worse.shape[1])
    return int(np.argmin(np.where(worse.mean(1) <= SLACK * error, np.round(material_weight, 9), np.inf)))


def logistic(levels: F64, label: Bool) -> tuple[F64, F64, F64]:
    """Loss, scale (≥ 0) and bias (rows,) of the logistic regressions of ``label`` (n,) on each row of ``levels``.

    With Platt's soft targets, so that labels which can be told apart without error give finite scales. Newton's method.
    """
    wanted = _wanted(label)
    centre, spread = levels.mean(1, keepdims=True), np.maximum(levels.std(1, keepdims=True), 1e-9)
    x = (levels - centre) / spread
    scale, bias = np.zeros((len(x), 1)), np.full((len(x), 1), np.log(wanted.mean() / (1 - wanted.mean())))
    for _ in range(_STEPS):
        p = fusion.probability(scale * x + bias)
        weight, error = p * (1 - p) + 1e-9, p - wanted
        xx, x1, one = ((weight * power).mean(1, keepdims=True) for power in (x * x, x, np.ones_like(x)))
        gx, g1 = (error * x).mean(1, keepdims=True), error.mean(1, keepdims=True)
        determinant = xx * one - x1 * x1 + 1e-12
        scale = scale - np.clip((one * gx - x1 * g1) / determinant, -_LONGEST_STEP, _LONGEST_STEP)
        bias = bias - np.clip((xx * g1 - x1 * gx) / determinant, -_LONGEST_STEP, _LONGEST_STEP)
    wrong = scale < 0  # what points the wrong way round is not believed at all
    bias = np.where(wrong, np.log(wanted.mean() / (1 - wanted.mean())), bias)
    scale = np.where(wrong, 0.0, scale)
    z = scale * x + bias
    slope = scale / spread
    return losses(z, label).mean(1), slope[:, 0], (bias - slope * centre)[:, 0]


def losses(logits: F64, label: Bool, learnt: Bool | None = None) -> F64:
    """What the labels (n,) cost under ``logits`` (rows, n), with Platt's targets of ``learnt`` (default: these)."""
    cost: F64 = np.logaddexp(0, logits) - _wanted(label, learnt) * logits
    return cost


def _wanted(label: Bool, learnt: Bool | None = None) -> F64:
    learnt = label if learnt is None else learnt
    positive, negative = int(learnt.sum()), int((~learnt).sum())
    return np.where(label, (positive + 1) / (positive + 2), 1 / (negative + 2))
