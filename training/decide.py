"""From class regions to a detector: clutter, decision and threshold, chosen on training bags.

Bags are dealt into folds; each bag is scored by a clutter mixture and a decision that never saw it. The threshold
is the lowest one at which at most :data:`training.model.FALSE_ALARM_LIMIT` of the bags without a target alarm.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from edge.inference.clutter import point
from edge.inference.discriminator import decision_features, log_odds
from edge.inference.evidence import Explanations
from edge.inference.model_file import Decision, ModelFile
from kernels.types import F64
from training.examined import ExaminedBag, ExaminedRegion
from training.mixture import fit_mixture
from training.model import FALSE_ALARM_LIMIT

FOLDS = 6
#: Regions overlapping the target's box by more than the first are targets, by less than the second are not.
IS_TARGET, IS_NOT_TARGET = 0.5, 0.1
RIDGE = 3.0
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
    threshold = choose(scores[~target])
    probability = float(1 / (1 + np.exp(-threshold)))
    manifest = model.manifest.model_copy(
        update={
            "training_bags": len(bags),
            "training_targets": int(target.sum()),
            "training_detections": int((scores[target] >= threshold).sum()),
            "training_false_alarms": int((scores[~target] >= threshold).sum()),
        }
    )
    final = _fitted(model, bags, seed)
    return final.model_copy(update={"threshold": round(probability, 6), "manifest": manifest})


def choose(clean: F64) -> float:
    """Lowest threshold on log odds that at most :data:`FALSE_ALARM_LIMIT` of the ``clean`` scores reach."""
    allowed = int(FALSE_ALARM_LIMIT * len(clean))
    ordered = np.sort(clean)[::-1]
    below = ordered[allowed] if allowed < len(ordered) else _NEVER
    above = ordered[allowed - 1] if allowed else below + 1.0
    return float((below + above) / 2)


def score(model: ModelFile, bag: ExaminedBag) -> float:
    """Highest log odds of a threat among the bag's regions."""
    explanations = Explanations(model)
    assert model.decision is not None
    odds = [
        log_odds(features, model.decision)
        for region in bag.regions
        if (features := _features(explanations, region)) is not None
    ]
    return max(odds, default=_NEVER)


def _fitted(model: ModelFile, bags: Sequence[ExaminedBag], seed: int) -> ModelFile:
    points = [point(step)[0] for bag in bags if bag.target is None for region in bag.regions for step in region.steps]
    with_clutter = model.model_copy(update={"clutter": fit_mixture(np.array(points), seed)})
    explanations = Explanations(with_clutter)
    rows, is_target = [], []
    for bag in bags:
        for region in bag.regions:
            features = _features(explanations, region)
            if features is None or IS_NOT_TARGET < region.overlap <= IS_TARGET:
                continue
            rows.append(features)
            is_target.append(region.overlap > IS_TARGET)
    decision = logistic(np.array(rows), np.array(is_target, np.float64))
    return with_clutter.model_copy(update={"decision": decision})


def _features(explanations: Explanations, region: ExaminedRegion) -> F64 | None:
    evidence = explanations.weigh(region.steps)
    return None if evidence is None else decision_features(evidence, explanations.threat, region.area_mm2)


def logistic(rows: F64, is_target: F64) -> Decision:
    """Ridge logistic regression on standardised ``rows`` (n, features)."""
    centre, scale = rows.mean(0), rows.std(0) + 1e-9
    design = np.c_[np.ones(len(rows)), (rows - centre) / scale]

    def loss(weights: F64) -> tuple[float, F64]:
        odds = design @ weights
        value = (np.logaddexp(0, odds) - is_target * odds).sum() + RIDGE / 2 * (weights[1:] ** 2).sum()
        gradient = design.T @ (1 / (1 + np.exp(-odds)) - is_target)
        gradient[1:] += RIDGE * weights[1:]
        return float(value), gradient

    weights = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x

    def rounded(values: F64) -> tuple[float, ...]:
        return tuple(float(f"{value:.6g}") for value in values)

    return Decision(
        intercept=float(f"{weights[0]:.6g}"), centre=rounded(centre), scale=rounded(scale), weights=rounded(weights[1:])
    )
