"""Study 1: how answers depend on how much of the sample other things cover."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from firmware_bridge.scanner import Scanner
from kernels.types import F64
from training.dataset import Scans
from training.dataset.labels import covered
from training.dataset.scenes import compose
from training.experiments.runner import Finished
from training.experiments.statistics import Answers, summarise

#: Limits of the groups: part of the sample that is covered.
LIMITS: Final = (0.0, 1 / 3, 2 / 3, 1.0)


def coverage(scans: Scans) -> F64:
    """Covered part of the sample of every scan of a whole data set, from its scenes (n,); NaN without a sample."""
    recipe = scans.manifest.recipe
    scanner = Scanner.model_validate(recipe.scanner)
    parts = [covered(compose(recipe.kind, scanner, recipe.seed, k, recipe.clutter)) for k in range(recipe.scans)]
    return np.array([np.nan if part is None else part for part in parts], np.float64)


def by_coverage(done: Sequence[Finished], part: F64) -> list[dict[str, Any]]:
    """Summary of the tests in each group of coverage, over all runs together."""
    made = []
    for low, high in pairwise(LIMITS):
        last = high == LIMITS[-1]
        picked = [_some(one.tested, (part >= low) & ((part < high) | last)) for one in done]
        picked = [answers for answers in picked if len(answers.indices)]
        if not picked:
            continue
        found = summarise([_together(picked)])
        made.append(
            {
                "covered": f"{100 * low:.0f} to {100 * high:.0f} %",
                "scans": len({index for answers in picked for index in answers.indices}),
                "tests": sum(len(answers.indices) for answers in picked),
                "accuracy": round(found.accuracy, 3),
                "AUC": round(found.auc, 3) if np.isfinite(found.auc) else None,
            }
        )
    return made


def _some(tested: Answers, wanted: Any) -> Answers:
    at = np.array([k for k, index in enumerate(tested.indices) if wanted[index]], np.int64)
    indices = tuple(tested.indices[k] for k in at)
    return Answers(tested.scores[at], tested.labels[at], indices, tested.trained, tested.seconds)


def _together(parts: Sequence[Answers]) -> Answers:
    return Answers(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        tuple(index for part in parts for index in part.indices),
        parts[0].trained,
        0.0,
    )
