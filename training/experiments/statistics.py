"""From scores to counts, rates and 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import stats

from kernels.types import F64

I64 = npt.NDArray[np.int64]
LEVEL: Final = 0.95
THRESHOLD: Final = 0.5


@dataclass(frozen=True)
class Answers:
    """Scores and labels of the tested scans of one run; ``indices``: which scans; ``trained``: how many were learnt."""

    scores: F64
    labels: I64
    indices: tuple[int, ...]
    trained: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """Share of right answers at :data:`THRESHOLD`."""
        return float(((self.scores >= THRESHOLD) == (self.labels == 1)).mean())


@dataclass(frozen=True)
class Summary:
    """Runs together: accuracy is their mean, counts and rates are sums. NaN where nothing can be counted."""

    runs: int
    accuracy: float
    low: float
    high: float
    true_positives: int
    true_negatives: int
    false_positives: int
    false_negatives: int
    recall: float
    precision: float
    false_positive_rate: float
    auc: float
    false_positive_rate_all_found: float
    seconds: float


def summarise(runs: Sequence[Answers]) -> Summary:
    """Summary of at least one run."""
    scores = np.concatenate([run.scores for run in runs])
    threat = np.concatenate([run.labels for run in runs]) == 1
    called = scores >= THRESHOLD
    tp, fp = int((called & threat).sum()), int((called & ~threat).sum())
    fn, tn = int((~called & threat).sum()), int((~called & ~threat).sum())
    low, high = interval(runs)
    rates = roc(scores, threat)
    return Summary(
        runs=len(runs),
        accuracy=float(np.mean([run.accuracy for run in runs])),
        low=low,
        high=high,
        true_positives=tp,
        true_negatives=tn,
        false_positives=fp,
        false_negatives=fn,
        recall=_ratio(tp, tp + fn),
        precision=_ratio(tp, tp + fp),
        false_positive_rate=_ratio(fp, fp + tn),
        auc=area(*rates),
        false_positive_rate_all_found=float(rates[0][rates[1] >= 1.0].min()) if threat.any() else float("nan"),
        seconds=float(np.mean([run.seconds for run in runs])),
    )


def interval(runs: Sequence[Answers]) -> tuple[float, float]:
    """95 % interval of the accuracy.

    Several runs: Student's t over the runs, with the variance widened by the ratio of tested to learnt scans because
    random splits overlap [Nadeau and Bengio 2003]. Runs that do not differ, or one: Wilson's interval for as many
    answers as different scans were tested.
    """
    accuracies = np.array([run.accuracy for run in runs])
    spread = float(accuracies.std(ddof=1)) if len(runs) > 1 else 0.0
    mean = float(accuracies.mean())
    if spread == 0.0:
        return wilson(mean, len({index for run in runs for index in run.indices}))
    overlap = float(np.mean([len(run.indices) / max(run.trained, 1) for run in runs]))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(runs) - 1)) * spread * math.sqrt(1 / len(runs) + overlap)
    return max(0.0, mean - half), min(1.0, mean + half)


def difference(ours: Sequence[Answers], other: Sequence[Answers]) -> tuple[float, float, float]:
    """Mean and 95 % interval of how much more often ``ours`` is right, over paired runs. NaN limits for one pair."""
    steps = np.array([a.accuracy - b.accuracy for a, b in zip(ours, other, strict=True)])
    mean = float(steps.mean())
    if len(steps) < 2:
        return mean, float("nan"), float("nan")
    overlap = float(np.mean([len(run.indices) / max(run.trained, 1) for run in ours]))
    width = float(steps.std(ddof=1)) * math.sqrt(1 / len(steps) + overlap)
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(steps) - 1)) * width
    return mean, mean - half, mean + half


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of ``count`` answers."""
    if count == 0:
        return float("nan"), float("nan")
    z = NormalDist().inv_cdf(0.5 + LEVEL / 2)
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, centre - half), min(1.0, centre + half)


def roc(scores: F64, threat: npt.NDArray[np.bool_]) -> tuple[F64, F64]:
    """False and true positive rates for every threshold, both rising from 0 to 1; equal scores are one step."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, false = np.cumsum(threat[order])[last], np.cumsum(~threat[order])[last]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.insert(false / (~threat).sum(), 0, 0.0), np.insert(hits / threat.sum(), 0, 0.0)


def area(false: F64, true: F64) -> float:
    """Area under a receiver operating curve."""
    return float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2))


def _ratio(a: int, b: int) -> float:
    return a / b if b else float("nan")
