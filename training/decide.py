"""From class regions to a detector: clutter, decision and threshold, chosen on training bags.

Bags are dealt into folds; each bag is scored by a clutter mixture and a decision that never saw it. The threshold
is the lowest one at which at most :data:`training.model.FALSE_ALARM_LIMIT` of the bags without a target alarm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge.inference.clutter import point
from edge.inference.decision import Decision, inputs
from edge.inference.evidence import Explanations
from edge.inference.model_file import ModelFile, OperatingPoint
from kernels.types import F64
from training.boosting import boost
from training.examined import ExaminedBag, ExaminedRegion
from training.mixture import fit_mixture
from training.model import FALSE_ALARM_LIMIT, OPERATING_LIMITS

FOLDS = 6
#: Regions overlapping the target's box by more than the first are targets, by less than the second are not.
IS_TARGET, IS_NOT_TARGET = 0.5, 0.1
_NEVER = -30.0


def decide(model: ModelFile, bags: Sequence[ExaminedBag], seed: int) -> ModelFile:
    """Add clutter, decision and threshold to ``model``, with what the threshold does on the training bags."""
    folds = np.random.default_rng([seed, 0xF0]).permutation(len(bags)) % FOLDS
    scores = np.full(len(bags), _NEVER)
    for fold in range(FOLDS):
        fitted = _fitted(model, [bag for bag, f in zip(bags, folds, strict=True) if f != fold], seed)
        for k in np.flatnonzero(folds == fold).tolist():
            scores[k] = score(fitted, bags[k])
    target = np.array([bag.target is not None for bag in bags])
    points = [_operating_point(scores, target, limit) for limit in OPERATING_LIMITS]
    threshold = choose(scores[~target])
    manifest = model.manifest.model_copy(
        update={
            "training_bags": len(bags),
            "training_targets": int(target.sum()),
            "training_detections": int((scores[target] >= threshold).sum()),
            "training_false_alarms": int((scores[~target] >= threshold).sum()),
            "operating_points": tuple(points),
        }
    )
    final = _fitted(model, bags, seed)
    return final.model_copy(update={"threshold": _probability(threshold), "manifest": manifest})


def choose(clean: F64, limit: float = FALSE_ALARM_LIMIT) -> float:
    """Lowest threshold on log odds that at most the fraction ``limit`` of the ``clean`` scores reaches."""
    allowed = int(limit * len(clean))
    ordered = np.sort(clean)[::-1]
    below = ordered[allowed] if allowed < len(ordered) else _NEVER
    above = ordered[allowed - 1] if allowed else below + 1.0
    return float((below + above) / 2)


def _operating_point(scores: F64, target: npt.NDArray[np.bool_], limit: float) -> OperatingPoint:
    threshold = choose(scores[~target], limit)
    return OperatingPoint(
        threshold=_probability(threshold),
        false_alarms=round(float((scores[~target] >= threshold).mean()), 4),
        detections=round(float((scores[target] >= threshold).mean()), 4),
    )


def _probability(log_odds: float) -> float:
    return round(float(1 / (1 + np.exp(-log_odds))), 6)


def score(model: ModelFile, bag: ExaminedBag) -> float:
    """Highest log odds of a threat among the bag's regions."""
    assert model.decision is not None
    rows = [row for region in bag.regions if (row := _row(Explanations(model), region)) is not None]
    return float(Decision(model.decision).log_odds(np.array(rows)).max()) if rows else _NEVER


def _fitted(model: ModelFile, bags: Sequence[ExaminedBag], seed: int) -> ModelFile:
    points = [point(step)[0] for bag in bags if bag.target is None for region in bag.regions for step in region.steps]
    with_clutter = model.model_copy(update={"clutter": fit_mixture(np.array(points), seed)})
    explanations = Explanations(with_clutter)
    rows, is_target = [], []
    for bag in bags:
        for region in bag.regions:
            if IS_NOT_TARGET < region.overlap <= IS_TARGET:
                continue
            row = _row(explanations, region)
            if row is not None:
                rows.append(row)
                is_target.append(region.overlap > IS_TARGET)
    return with_clutter.model_copy(update={"decision": boost(np.array(rows), np.array(is_target, np.float64), seed)})


def _row(explanations: Explanations, region: ExaminedRegion) -> F64 | None:
    evidence = explanations.weigh(region.steps)
    return None if evidence is None else inputs(evidence, explanations.threat, region.area_mm2)
