"""Calibration, thresholds and rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="install darklane[train]")  # of the package, not of what is tested here

from training.fit_network import metrics


def test_rates_are_the_papers() -> None:
    scores, labels = np.array([0.9, 0.8, 0.4, 0.6, 0.1]), np.array([1, 1, 1, 0, 0])
    got = metrics.confusion(scores, labels)
    assert (got["true_positives"], got["false_negatives"], got["false_positives"], got["true_negatives"]) == (
        2,
        1,
        1,
        1,
    )
    assert got["recall"] == pytest.approx(2 / 3)
    assert got["precision"] == pytest.approx(2 / 3)
    assert got["accuracy"] == pytest.approx(3 / 5)
    # 5 of the 6 pairs are in order.
    assert metrics.area_under_curve(scores, labels) == pytest.approx(5 / 6)


def test_without_one_kind_nothing_is_claimed() -> None:
    got = metrics.summary(np.array([0.2, 0.3]), np.array([0, 0]))
    assert math.isnan(got["recall"])
    assert math.isnan(got["auc"])
    with pytest.raises(ValueError, match="0 of 2 scans have a threat"):
        metrics.fit_platt(np.array([0.2, 0.3]), np.array([0, 0]))


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=40), st.floats(0.05, 1))
def test_a_threshold_finds_the_rate_asked_for(pairs: list[tuple[float, bool]], rate: float) -> None:
    scores, labels = np.array([score for score, _ in pairs]), np.array([int(threat) for _, threat in pairs])
    if not labels.any():
        with pytest.raises(ValueError, match="no scan has a threat"):
            metrics.threshold_for(scores, labels, rate)
        return
    threshold = metrics.threshold_for(scores, labels, rate)
    assert (scores[labels == 1] >= threshold).mean() >= rate - 1e-12


@given(st.floats(0.3, 3), st.floats(-3, 3))
def test_calibration_returns_the_slope_and_offset_that_made_the_labels(slope: float, offset: float) -> None:
    rng = np.random.default_rng(5)
    scores = rng.normal(0, 2, 4000)
    labels = (rng.random(4000) < 1 / (1 + np.exp(-(slope * scores + offset)))).astype(np.int64)
    found = metrics.fit_platt(scores, labels)
    assert found.a == pytest.approx(slope, rel=0.2, abs=0.1)
    assert found.b == pytest.approx(offset, rel=0.2, abs=0.2)


def test_few_scans_that_separate_perfectly_are_not_called_certain() -> None:
    found = metrics.fit_platt(np.array([-20.0, -18.0, 18.0, 20.0]), np.array([0, 0, 1, 1]))
    chances = found.probability(np.array([-20.0, 20.0]))
    assert 0 < chances[0] < 0.3
    assert 0.7 < chances[1] < 1
