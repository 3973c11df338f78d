"""Evidence for a fusion: soft splits by hand, and the mean over segmentations."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from edge.inference import fusion
from edge.inference.averaged import evidence
from edge.inference.decision import INPUTS, Decision
from edge.inference.detector import Geometry
from edge.inference.examination import Judgement, MaterialDetector, judged_regions
from edge.inference.model_file import Trees, shipped
from tests.edge.inference_scene import GRID_UM, PITCH_UM, Slab, images, tile

#: One tree of two levels; the cuts of input 0 lie 1 from their mean, input 1 has one cut.
TREES = Trees(
    base=-1.0, input=((0, 0, 1),), cut=((-1.0, 1.0, 3.0),), leaf=((0.0, 1.0, 2.0, 4.0),)
)  # fmt: skip
WHOLE = Decision(shipped(80).decision or TREES)


def rows(*values: tuple[float, float]) -> np.ndarray:
    made = np.zeros((len(values), len(INPUTS)))
    made[:, :2] = values
    return made


def test_soft_splits_by_hand() -> None:
    """Noise of 0.5 at each split on input 0; input 1 has a single cut and keeps its step."""
    found = Decision(TREES).log_odds(rows((-0.5, 2.0), (-0.5, 4.0)), softness=0.5)
    first, second = norm.cdf(1.0), norm.cdf(-3.0)
    left = (1 - first) * second * 1.0
    assert found == pytest.approx([-1 + left + first * 2.0, -1 + left + first * 4.0])


def test_without_softness_the_trees_keep_their_steps() -> None:
    hard = Decision(TREES).log_odds(rows((-2.0, 0.0), (-0.5, 2.0), (-0.5, 4.0)))
    assert hard.tolist() == [-1.0, 1.0, 3.0]
    nearly = Decision(TREES).log_odds(rows((-2.0, 0.0), (-0.5, 2.0), (-0.5, 4.0)), softness=1e-3)
    np.testing.assert_allclose(nearly, hard)


@given(st.lists(st.floats(-30, 30), min_size=len(INPUTS), max_size=len(INPUTS)), st.floats(0.1, 2.0))
def test_soft_log_odds_have_no_steps(row: list[float], softness: float) -> None:
    here = np.array([row])
    odds = WHOLE.log_odds(here, softness)
    assert np.isfinite(odds).all()
    assert np.abs(WHOLE.log_odds(here + 1e-6, softness) - odds).max() < 1e-2


@pytest.fixture(scope="module")
def detector() -> MaterialDetector:
    return MaterialDetector(shipped(80), min_area_mm2=60.0)


@pytest.fixture(scope="module")
def judgement(detector: MaterialDetector) -> Judgement:
    things = (Slab("nylon_textile", 0.04, (20, 20, 140, 180)), Slab("Semtex1A", 0.6, (50, 60, 100, 120)))
    examination = detector.open(Geometry(160, PITCH_UM, GRID_UM))
    examination.add(tile(images((*things, Slab("PE", 0.3, (30, 130, 70, 170))))))
    return examination.judge()


def test_one_segmentation_with_steps_is_what_the_discriminator_says(
    detector: MaterialDetector, judgement: Judgement
) -> None:
    found = evidence(detector, judgement, (detector.settings.smooth_blocks,), 0.0)
    np.testing.assert_array_equal(found, fusion.material_map(judgement.judged, judgement.planes))
    assert np.isnan(found).any()
    assert np.nanmax(found) == pytest.approx(fusion.log_odds(judgement.score), abs=1e-5)


def test_segmentations_are_averaged_where_they_judge(detector: MaterialDetector, judgement: Judgement) -> None:
    fine, coarse = (evidence(detector, judgement, (smoothing,), 1.0) for smoothing in (1.0, 1.4))
    both = evidence(detector, judgement, (1.0, 1.4), 1.0)
    known = ~(np.isnan(fine) | np.isnan(coarse))
    np.testing.assert_allclose(both[known], (fine[known] + coarse[known]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(both[np.isnan(fine)], coarse[np.isnan(fine)])
    np.testing.assert_array_equal(both[np.isnan(coarse)], fine[np.isnan(coarse)])
    settings = replace(detector.settings, smooth_blocks=1.4)
    assert len(judgement.segmented[1.4]) == len(judged_regions(detector, judgement.planes, settings))


def test_a_model_without_decision_has_nothing_to_soften(judgement: Judgement) -> None:
    plain = MaterialDetector(shipped(80).model_copy(update={"decision": None}).sealed(), min_area_mm2=60.0)
    judged = judged_regions(plain, judgement.planes, plain.settings)
    assert all(plain.discriminator.softened(found, 1.0) is found for found, _ in judged)
