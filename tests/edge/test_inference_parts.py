"""Blocks, regions, outlines and ratios: each part of the material discriminator alone."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from edge.inference.detector import Geometry
from edge.inference.features import Step, dark_field_ratio, ratios, regions
from edge.inference.outline import outline
from edge.inference.regions import AIR, FIRST, segment
from edge.inference.settings import SETTINGS
from edge.inference.tiles import BlockAverager, Planes
from kernels.types import Flag
from tests.edge.inference_scene import GRID_UM, PITCH_UM, Scene, Slab, images, planes_of, tile

GEOMETRY = Geometry(160, PITCH_UM, GRID_UM)


def planes(arrays: Scene, cuts: list[int] | None = None) -> Planes:
    blocks = BlockAverager(Geometry(arrays["flags"].shape[1], PITCH_UM, GRID_UM), SETTINGS)
    edges = [0, *sorted(cuts or []), arrays["flags"].shape[2]]
    for a, b in pairwise(edges):
        blocks.add(tile(arrays, a, b))
    return blocks.planes()


@settings(max_examples=20)
@given(st.lists(st.integers(0, 61), max_size=6))
def test_blocks_do_not_depend_on_where_the_columns_are_cut(cuts: list[int]) -> None:
    arrays = images((Slab("PE", 0.3, (5, 5, 20, 40)),), rows=24, columns=61)
    whole, cut = planes(arrays), planes(arrays, cuts)
    np.testing.assert_array_equal(whole.values, cut.values)
    np.testing.assert_array_equal(whole.good, cut.good)
    assert whole.values.shape == (6, 12, 30)


def test_blocks_leave_out_unusable_pixels_and_mark_dark_ones() -> None:
    arrays = images((), rows=8, columns=8)
    clean = planes(arrays).values
    arrays["images"][:, :, 0, 0] = np.nan
    arrays["images"][2, 0, 2, 2] = 1e9
    arrays["flags"][0, 2, 2] = Flag.NOT_CONVERGED
    arrays["flags"][:, 4:6, 4:6] = Flag.BAD_INPUT
    arrays["flags"][0, 6:8, 6:8] = Flag.LOW_COUNTS
    found = planes(arrays)
    assert np.isfinite(found.values).all()
    assert abs(found.values[4, 1, 1] - clean[4, 1, 1]) < 30
    assert not found.good[2, 2]
    assert not found.opaque[2, 2]
    assert found.opaque[3, 3]
    assert found.good[0, 0]


def test_the_logarithm_of_noisy_transmission_is_unbiased() -> None:
    arrays = images((Slab("Al", 2.5, (0, 0, 160, 200)),))
    inner = planes(arrays).values[:, 10:-10, 10:-10].mean((1, 2))
    np.testing.assert_allclose(inner[:2], planes_of("Al", 2.5)[:2], rtol=0.02)


def test_a_tile_of_another_height_is_refused() -> None:
    arrays = images((), rows=8, columns=8)
    with pytest.raises(ValueError, match="8 rows, the bag has 160"):
        BlockAverager(GEOMETRY, SETTINGS).add(tile(arrays))


def test_segmentation_finds_each_rectangle_and_nothing_in_air() -> None:
    scene = (Slab("PE", 0.3, (20, 20, 60, 80)), Slab("Al", 0.9, (90, 100, 140, 160)))
    labels = segment(planes(images(scene)), SETTINGS)
    assert (labels[1:8] == AIR).mean() > 0.98
    for slab in scene:
        r0, c0, r1, c1 = (edge // 2 for edge in slab.box)
        inside = labels[r0 + 2 : r1 - 2, c0 + 2 : c1 - 2]
        values, counts = np.unique(inside, return_counts=True)
        assert values[counts.argmax()] >= FIRST
        assert counts.max() > 0.9 * inside.size
    assert (segment(planes(images(())), SETTINGS) == AIR).mean() > 0.99


def test_a_step_over_a_cover_equals_the_step_over_air() -> None:
    """Background re-normalisation: the same slab, bare and on cloth, gives the same step within its σ."""
    bare = (Slab("C4", 0.6, (40, 60, 110, 140)),)
    covered = (Slab("leather", 0.12, (10, 10, 150, 190)), *bare)
    steps = []
    for scene in (bare, covered):
        p = planes(images(scene))
        found = [r for r in regions(p, segment(p, SETTINGS), 60.0, SETTINGS) if r.box[0].start > 15 and r.steps]
        largest = max(found, key=lambda r: int(r.mask.sum()))
        steps.append(max(largest.steps, key=lambda s: s.share))
    sigma = np.sqrt(np.diag(steps[0].covariance) + np.diag(steps[1].covariance))
    assert (np.abs(steps[0].values - steps[1].values) < 4 * sigma + 0.01).all()
    assert steps[1].base[0] == pytest.approx(0.12, abs=0.01)
    assert steps[0].values[0] == pytest.approx(0.6, abs=0.01)


def test_ratios_propagate_their_covariance() -> None:
    values = planes_of("C4", 0.5)
    rng = np.random.default_rng(3)
    root = np.diag([0.004, 0.004, 0.003, 0.003, 0.4, 0.3]) @ (np.eye(6) + 0.3 * np.tri(6, k=-1))
    covariance = root @ root.T
    step = Step(values, covariance, (0.0, 0.0), 1.0)
    draws = values + rng.standard_normal((20_000, 6)) @ root.T
    sampled = np.array([ratios(Step(d, covariance, (0.0, 0.0), 1.0))[0] for d in draws])
    np.testing.assert_allclose(ratios(step)[1], np.cov(sampled.T), rtol=0.15, atol=1e-3)
    dark = dark_field_ratio(step)
    assert dark is not None
    assert dark[0] == pytest.approx(values[4] / values[5])
    weak = values.copy()
    weak[5] = 0.1
    assert dark_field_ratio(Step(weak, covariance, (0.0, 0.0), 1.0)) is None


def area(points: list[tuple[float, float]]) -> float:
    y, x = np.array(points).T
    return abs(float(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1)))) / 2


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(0.3, 0.8))
def test_the_outline_encloses_the_largest_part(seed: int, fill: float) -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(seed).random((14, 17)), 1.0) > np.float64(
        0.5 + 0.1 * (fill - 0.5)
    )
    points = outline(mask, tolerance=0.0)
    if not mask.any():
        assert points == []
        return
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    solid = ndimage.binary_fill_holes(labels == 1 + int(sizes.argmax()))
    assert area(points) == pytest.approx(solid.sum())
    assert len(outline(mask, tolerance=1.0)) <= len(points)


def test_the_outline_of_one_block_is_its_corners() -> None:
    mask = np.zeros((5, 5), bool)
    mask[2, 3] = True
    assert sorted(outline(mask)) == [(2.0, 3.0), (2.0, 4.0), (3.0, 3.0), (3.0, 4.0)]
