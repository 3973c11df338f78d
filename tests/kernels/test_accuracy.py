"""The claims of docs/kernels.md on accuracy, with fewer pixels than its tables."""

from __future__ import annotations

import pytest

from kernels import accuracy
from kernels.types import Model


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
        assert row.bias < 0.1
        assert abs(row.spread - 1) < 0.05
        assert 0.66 < row.coverage[0] <= row.coverage[1] < 0.70


@pytest.mark.parametrize("model", ["map", "full"])
@pytest.mark.parametrize("limits", accuracy.RANGES_UM2)
def test_what_is_far_off_is_flagged(model: Model, limits: tuple[float, float]) -> None:
    """Nothing that no flag marks: σ of `map` are wider for that, `full` marks most of its pixels."""
    _, kept, wrong = accuracy.random_outliers(model, limits, draws=60_000)
    if limits[0] == 0.0:
        assert kept > (70_000 if model == "map" else 2_500)
    assert wrong == 0


def test_good_pixels_of_ordinary_scenes_are_not_skewed() -> None:
    for name in ("air", "typical", "edge"):
        for x_um in accuracy.POINTS_UM:
            assert all(r.skewed < 0.01 for r in accuracy.scene_rows(name, 1e4, x_um, "map", pixels=4000))
