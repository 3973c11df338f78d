"""The rule that joins network and discriminator, fitted on bags that neither has seen.

The weights of :mod:`edge.inference.fusion` are those under which the labels of the bags are likeliest; the threshold is
the one that a stated share of targets reaches. What is reported is cross-validated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from edge.inference import fusion
from edge.inference.manifest import Fusion, OperatingPoint, Reliability
from edge.inference.tiles import Bool
from kernels.types import F32, F64
from training.evaluate import area_under_curve
from training.model import FALSE_ALARM_LIMIT

FOLDS = 5
#: Ratio of the two weights, as an angle: 0 is the network alone, π/2 the discriminator alone.
ANGLES = np.linspace(0, np.pi / 2, 19)
#: Log odds tried for what the discriminator does not judge.
UNCOVERED = (-6.0, -4.0, -3.0, -2.0, -1.0, 0.0)
COMBINATIONS = tuple(product(ANGLES.tolist(), UNCOVERED))
#: Newton's method: steps, and how far each may go.
_STEPS, _LONGEST_STEP = 40, 2.0
#: Shares of targets for which the manifest tells threshold and false alarms.
RATES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_BINS = 6
_SEED = 0xF05E
#: Samples of the bootstrap, and the share of them in which the fusion must be better.
_RESAMPLED, _CONFIDENCE = 2000, 0.95


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
    return np.array(
        [[raw(bag, (np.cos(angle), np.sin(angle)), uncovered) for bag in bags] for angle, uncovered in COMBINATIONS]
    )


def fit(bags: Sequence[Bag]) -> Rule:
    """The rule under which the labels of ``bags`` are likeliest; ties go to the one nearest to the network."""
    return _likeliest(candidates(bags), np.array([bag.target is not None for bag in bags]))


def _likeliest(levels: F64, label: Bool) -> Rule:
    loss, scale, bias = logistic(levels, label)
    best = int(np.argmin(np.round(loss, 9)))
    angle, uncovered = COMBINATIONS[best]
    weight = float(scale[best])
    return Rule(weight * float(np.cos(angle)), weight * float(np.sin(angle)), uncovered, float(bias[best]))


def logistic(levels: F64, label: Bool) -> tuple[F64, F64, F64]:
    """Loss, scale (≥ 0) and bias (rows,) of the logistic regressions of ``label`` (n,) on each row of ``levels``.

    With Platt's soft targets, so that labels which can be told apart without error give finite scales. Newton's method.
    """
    positive, negative = int(label.sum()), int((~label).sum())
    wanted = np.where(label, (positive + 1) / (positive + 2), 1 / (negative + 2))
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
    loss = (np.logaddexp(0, z) - wanted * z).mean(1)
    slope = scale / spread
    return loss, slope[:, 0], (bias - slope * centre)[:, 0]


def threshold_for(levels: F64, rate: float) -> float:
    """Level that the share ``rate`` of the targets' ``levels`` reaches, half way to the next lower one."""
    ordered = np.sort(levels)[::-1]
    wanted = min(len(ordered), max(1, int(np.ceil(rate * len(ordered) - 1e-9))))
    below = ordered[wanted] if wanted < len(ordered) else ordered[-1] - 1.0
    return float((ordered[wanted - 1] + below) / 2)


def fused(
    bags: Sequence[Bag], material_sha256: str, rate: float | None, seeds: str, command: str
) -> tuple[Fusion, bool]:
    """Fit on all ``bags``, and say what that does to bags that were not fitted on; whether it may decide.

    ``rate``: share of targets to find; None takes the largest of :data:`RATES` at which no more clean bags alarm than
    the discriminator was allowed.
    """
    label = np.array([bag.target is not None for bag in bags])
    fold, tried = _folds(label), candidates(bags)
    levels, anywhere = np.zeros(len(bags)), np.zeros(len(bags))
    rules = [_likeliest(tried[:, fold != k], label[fold != k]) for k in range(FOLDS)]
    for k, rule in enumerate(rules):
        for i in np.flatnonzero(fold == k).tolist():
            levels[i], anywhere[i] = rule.level(bags[i]), rule.highest(bags[i])
    points = [_point(levels, label, r) for r in RATES]
    if rate is None:
        allowed = [r for r, point in zip(RATES, points, strict=True) if point.false_alarms <= FALSE_ALARM_LIMIT]
        rate = max(allowed, default=RATES[0])
    alarm = np.zeros(len(bags), np.bool_)
    for k, rule in enumerate(rules):
        limit = threshold_for(
            np.array([rule.level(bags[i]) for i in np.flatnonzero((fold != k) & label).tolist()]), rate
        )
        alarm[fold == k] = levels[fold == k] >= limit
    rule = _likeliest(tried, label)
    final = np.array([rule.level(bag) for bag in bags])
    limit = threshold_for(final[label], rate)
    alone = np.array([float(bag.heat.max()) for bag in bags])
    material = np.array([bag.score for bag in bags])
    areas = {"fused": anywhere, "network": alone, "material": material}
    made = Fusion(
        material_sha256=material_sha256,
        heat_weight=rule.heat_weight,
        material_weight=rule.material_weight,
        uncovered=rule.uncovered,
        bias=rule.bias,
        target_rate=rate,
        threshold=_probability(limit),
        bags=len(bags),
        targets=int(label.sum()),
        detections=float(alarm[label].mean()),
        false_alarms=float(alarm[~label].mean()),
        area_under_curve={name: round(area_under_curve(s[label], s[~label]), 4) for name, s in areas.items()},
        operating_points=tuple(points),
        reliability=_reliability(fusion.probability(anywhere), label),
        seeds=seeds,
        command=command,
    )
    return made, helps(bags, made, anywhere)


def _folds(label: Bool) -> F64:
    rng, fold = np.random.default_rng(_SEED), np.zeros(len(label))
    for kind in (True, False):
        members = np.flatnonzero(label == kind)
        fold[rng.permutation(members)] = np.arange(len(members)) % FOLDS
    return fold


def _probability(level: float) -> float:
    return float(fusion.probability(np.array([level]))[0])


def _point(levels: F64, label: Bool, rate: float) -> OperatingPoint:
    limit = threshold_for(levels[label], rate)
    reached = levels >= limit
    return OperatingPoint(
        threshold=round(_probability(limit), 4),
        detections=round(float(reached[label].mean()), 4),
        false_alarms=round(float(reached[~label].mean()), 4),
    )


def _reliability(scores: F64, label: Bool) -> tuple[Reliability, ...]:
    order = np.array_split(np.argsort(scores), _BINS)
    return tuple(
        Reliability(score=round(float(scores[i].mean()), 4), share=round(float(label[i].mean()), 4), bags=len(i))
        for i in order
        if len(i)
    )


def helps(bags: Sequence[Bag], made: Fusion, levels: F64) -> bool:
    """Whether the fusion, cross-validated (``levels``), tells bags apart better than the discriminator alone.

    Larger area under the curve in 95 % of bootstrap samples of the bags, and no more false alarms at the target rate.
    """
    label = np.array([bag.target is not None for bag in bags])
    material = np.array([bag.score for bag in bags])
    rng = np.random.default_rng(_SEED)
    better = 0
    for _ in range(_RESAMPLED):
        i = rng.integers(0, len(bags), len(bags))
        fused_area = area_under_curve(levels[i][label[i]], levels[i][~label[i]])
        better += fused_area > area_under_curve(material[i][label[i]], material[i][~label[i]])
    limit = threshold_for(material[label], made.target_rate)
    return better >= _CONFIDENCE * _RESAMPLED and made.false_alarms <= float((material[~label] >= limit).mean())
