"""Decisions under drift: corrected they are those without drift, uncorrected they are not."""

from __future__ import annotations

import pytest

from training.drift_bags import DriftedBag, compare, summary


@pytest.fixture(scope="module")
def bags() -> list[DriftedBag]:
    """Two bags of a small field: half of the drift at the first, all of it at the second."""
    return list(compare(2, 256))


def test_corrected_drift_leaves_the_decisions_as_they_are(bags: list[DriftedBag]) -> None:
    for bag in bags:
        assert bag.corrected.decision == bag.steady.decision, bag
        assert not bag.corrected.decision.startswith("UNKNOWN"), bag
        assert bag.corrected.shift_um == pytest.approx(-bag.shift_um, abs=0.3)
        assert bag.corrected.output == pytest.approx(bag.output, rel=0.01)
    assert "corrected: 0 of 2 decisions changed" in summary(bags)


def test_uncorrected_drift_changes_them(bags: list[DriftedBag]) -> None:
    assert all(bag.uncorrected.decision != bag.steady.decision for bag in bags)
