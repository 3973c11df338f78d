"""The claims of docs/kernels.md on accuracy, with fewer pixels than its tables."""

from __future__ import annotations

import pytest

from kernels import accuracy


@pytest.mark.parametrize("x_um", accuracy.POINTS_UM)
@pytest.mark.parametrize("name", accuracy.SCENES)
def test_map_is_unbiased_and_efficient_in_every_scene(name: str, x_um: float) -> None:
    for row in accuracy.scene_rows(name, 1e5, x_um, "map", pixels=8000):
        assert row.flagged < 1e-3
        assert row.bias < 0.1
        assert abs(row.spread - 1) < 0.05
        assert row.coverage[0] > 0.66


@pytest.mark.parametrize("name", accuracy.SCENES)
def test_full_is_efficient_where_it_is_regular(name: str) -> None:
    rows = [r for r in accuracy.scene_rows(name, 1e6, -5.0, "full", pixels=8000) if r.regular]
    assert rows
    for row in rows:
        assert row.flagged < 1e-3
        assert row.bias < 0.15
        assert abs(row.spread - 1) < 0.05
        assert 0.66 < row.coverage[0] <= row.coverage[1] < 0.70


def test_what_is_far_off_is_flagged_where_tau_has_one_answer() -> None:
    _, kept, wrong = accuracy.random_outliers("map", (0.0, 1200.0), draws=60_000)
    assert kept > 100_000
    assert wrong / kept < 4e-4
    _, kept, wrong = accuracy.random_outliers("full", (0.0, 1200.0), draws=60_000)
    assert wrong / kept < 2e-3


def test_beyond_one_answer_at_least_half_is_flagged() -> None:
    """The low bin of pixels with a true τ² of 1800 to 3000 µm²; the high bin, at a quarter of that, is not."""
    flagged, _, _ = accuracy.random_outliers("map", (1800.0, 3000.0), draws=30_000)
    assert flagged > 0.45
