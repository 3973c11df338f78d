"""The fusion of a bundle: rule, threshold, and what that does to bags that were not fitted on.

The threshold is the one that a stated share of targets reaches. What is reported is cross-validated.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.inference import fusion
from edge.inference.manifest import Fusion, OperatingPoint, Reliability
from edge.inference.settings import SETTINGS
from edge.inference.tiles import Bool
from kernels.types import F64
from training.evaluate import area_under_curve
from training.fuse.rule import FOLDS, SEED, Bag, candidates, folds, weighed, worth_joining
from training.model import FALSE_ALARM_LIMIT

#: What the discriminator's log odds are averaged over, and how soft its splits are: chosen on the same bags, by the
#: cross-validated likelihood and by how many decisions change when they are scanned again (docs/explanation/drift.md).
SMOOTHINGS = (SETTINGS.smooth_blocks, 1.4)
SOFTNESS = 1.0
#: Shares of targets for which the manifest tells threshold and false alarms.
RATES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
_BINS = 6
#: Samples of the bootstrap, and the share of them in which the fusion must be better.
_RESAMPLED, _CONFIDENCE = 2000, 0.95


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
    fold, tried = folds(label), candidates(bags)
    if not worth_joining(bags, tried, label):
        tried = tried[:1]  # the network alone: what the discriminator adds is within the noise, and it is less steady
    levels, anywhere = np.zeros(len(bags)), np.zeros(len(bags))
    rules = [weighed(tried[:, fold != k], label[fold != k]) for k in range(FOLDS)]
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
    rule = weighed(tried, label)
    final = np.array([rule.level(bag) for bag in bags])
    limit = threshold_for(final[label], rate)
    alone = np.array([float(bag.heat.max()) for bag in bags])
    material = np.array([bag.score for bag in bags])
    areas = {"fused": anywhere, "network": alone, "material": material}
    joined = rule.material_weight > 0  # else its evidence moves nothing and need not be averaged
    made = Fusion(
        material_sha256=material_sha256,
        heat_weight=rule.heat_weight,
        material_weight=rule.material_weight,
        uncovered=rule.uncovered,
        bias=rule.bias,
        smoothings=SMOOTHINGS if joined else SMOOTHINGS[:1],
        softness=SOFTNESS if joined else 0.0,
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
    rng = np.random.default_rng(SEED)
    better = 0
    for _ in range(_RESAMPLED):
        i = rng.integers(0, len(bags), len(bags))
        fused_area = area_under_curve(levels[i][label[i]], levels[i][~label[i]])
        better += fused_area > area_under_curve(material[i][label[i]], material[i][~label[i]])
    limit = threshold_for(material[label], made.target_rate)
    return better >= _CONFIDENCE * _RESAMPLED and made.false_alarms <= float((material[~label] >= limit).mean())
