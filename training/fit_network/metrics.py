"""What a list of scores is worth: rates, area under the curve, calibration, thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize

from kernels.types import F64

I64 = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Platt:
    """Probability = 1 / (1 + exp(−(a · score + b)))."""

    a: float
    b: float

    def probability(self, scores: F64) -> F64:
        """Calibrated probabilities of raw scores (logits)."""
        made: F64 = 1.0 / (1.0 + np.exp(-np.clip(self.a * np.asarray(scores, np.float64) + self.b, -60, 60)))
        return made


def fit_platt(scores: F64, labels: I64, prior: float = 1.0) -> Platt:
    """Platt's calibration: logistic regression on smoothed labels (n₊ + 1)/(n₊ + 2) and 1/(n₋ + 2).

    ``prior`` pulls the slope towards 1 as much as that many scans would, so that a perfect separation on few scans does
    not make every answer certain. ValueError when a class is missing.
    """
    scores = np.asarray(scores, np.float64)
    positive = labels == 1
    if positive.all() or not positive.any():
        raise ValueError(f"calibration: {positive.sum()} of {labels.size} scans have a threat; both kinds are needed")
    high = (positive.sum() + 1) / (positive.sum() + 2)
    low = 1 / ((~positive).sum() + 2)
    target = np.where(positive, high, low)

    def penalty(at: F64) -> tuple[float, F64]:
        odds = at[0] * scores + at[1]
        value = np.logaddexp(0, odds).sum() - (target * odds).sum() + prior * (at[0] - 1) ** 2 / 2
        miss = 1 / (1 + np.exp(-np.clip(odds, -60, 60))) - target
        return float(value), np.array([(miss * scores).sum() + prior * (at[0] - 1), miss.sum()])

    found = optimize.minimize(penalty, np.array([1.0, -float(np.median(scores))]), jac=True, method="BFGS")
    return Platt(float(found.x[0]), float(found.x[1]))


def area_under_curve(scores: F64, labels: I64) -> float:
    """Probability that a scan with a threat scores higher than one without; ties count half. NaN without both kinds."""
    hit, clean = scores[labels == 1], scores[labels == 0]
    if not hit.size or not clean.size:
        return float("nan")
    return float((hit[:, None] > clean).mean() + 0.5 * (hit[:, None] == clean).mean())


def confusion(scores: F64, labels: I64, threshold: float = 0.5) -> dict[str, float]:
    """Counts and the paper's rates: recall TP/(TP+FN), precision TP/(TP+FP), accuracy; NaN where nothing divides."""
    called = scores >= threshold
    tp, fp = int((called & (labels == 1)).sum()), int((called & (labels == 0)).sum())
    fn, tn = int((~called & (labels == 1)).sum()), int((~called & (labels == 0)).sum())

    def ratio(a: int, b: int) -> float:
        return a / b if b else float("nan")

    return {
        "true_positives": tp, "false_positives": fp, "false_negatives": fn, "true_negatives": tn,
        "recall": ratio(tp, tp + fn), "precision": ratio(tp, tp + fp), "accuracy": ratio(tp + tn, labels.size),
        "false_positive_rate": ratio(fp, fp + tn),
    }  # fmt: skip


def threshold_for(scores: F64, labels: I64, true_positive_rate: float) -> float:
    """Largest threshold at which at least this fraction of the scans with a threat is called.

    It lies half-way to the next lower score, so that rounding does not lose a scan that was to be found.
    """
    hit = np.sort(scores[labels == 1])[::-1]
    if not hit.size:
        raise ValueError("threshold: no scan has a threat; give a set with some")
    wanted = hit[int(np.ceil(true_positive_rate * hit.size)) - 1]
    below = scores[scores < wanted]
    return float((wanted + below.max()) / 2) if below.size else float(wanted)


def summary(probabilities: F64, labels: I64, threshold: float = 0.5) -> dict[str, float]:
    """Everything of the above in one table, with the mean squared error of the probabilities (Brier)."""
    return {
        **confusion(probabilities, labels, threshold),
        "auc": area_under_curve(probabilities, labels),
        "brier": float(np.mean((probabilities - labels) ** 2)),
        "threshold": threshold,
        "scans": float(labels.size),
    }
