"""Simulated samples and what is fitted to them, on small fields."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from edge.inference.decision import Decision
from edge.inference.features import ratios
from edge.inference.model_file import Trees, shipped
from firmware_bridge.emulator.plan import PlanItem, load_plan
from firmware_bridge.scanner import Scanner
from training import seeds
from training.bags import items
from training.boosting import boost
from training.decide import choose
from training.evaluate import area_under_curve, report
from training.examined import ExaminedBag, ExaminedRegion, examine_all
from training.fit import material_class
from training.mixture import fit_mixture
from training.model import FALSE_ALARM_LIMIT
from training.samples import collect, reference_lane, thicknesses_mm
from training.simulate import SimulatedLane

SMALL = SimulatedLane(Scanner(native_rows=128))


def test_seed_ranges_do_not_meet_and_are_those_of_the_models() -> None:
    ranges = sorted([seeds.REFERENCE, seeds.TRAINING, seeds.EVALUATION])
    assert ranges[0][0] == seeds.FIRST
    assert all(a[1] <= b[0] for a, b in pairwise(ranges))
    for name in ("demo", "smoke"):
        assert all(item.seed < seeds.FIRST for item in load_plan(name).items)
    for kv in (80, 120):
        assert shipped(kv).manifest.reference_seeds == seeds.REFERENCE
        assert shipped(kv).manifest.training_seeds == seeds.TRAINING


def test_simulated_images_are_unbiased_in_air_and_reproducible() -> None:
    item = PlanItem(kind="empty", seed=3)
    bag = SMALL.scan(item)
    images, sigma = bag.retrieval.images, bag.retrieval.sigma
    np.testing.assert_array_equal(images, SMALL.scan(item).retrieval.images)
    spread = images.std((2, 3))
    wider = sigma.mean((2, 3)) / spread  # σ of `map` is conservative, at few counts by this much
    assert ((wider > 1.1) & (wider < 1.5)).all()
    count = images[0, 0].size
    truth = np.array([1.0, 0.0, 0.0, 1.0])[:, None]
    # Neighbouring columns share counts, so fewer than `count` of them are independent; τ² has a known small bias.
    allowed = 5 * spread / np.sqrt(count / 2) + np.array([0.002, 0.02, 1.0, 0.005])[:, None]
    assert (np.abs(images.mean((2, 3)) - truth) < allowed).all()


def test_reference_samples_give_the_shipped_class() -> None:
    lane = reference_lane(80)
    samples, floors = collect(lane, "C4")
    assert len(floors) == 1
    assert floors[0][0] == pytest.approx(0.109, abs=0.01)
    fitted = material_class("C4", True, samples)
    published = next(c for c in shipped(80).classes if c.name == "C4")
    np.testing.assert_allclose(fitted.mean[0], published.mean[0], rtol=1e-3, atol=1e-3)
    thick = [s for s in samples if s.thickness_mm > 9]
    values = np.array([ratios(s.step)[0] for s in thick])
    assert values[:, 0].mean() == pytest.approx(1.5, abs=0.1)
    assert values[:, 2].mean() == pytest.approx(23, abs=4)


def test_dense_materials_get_thinner_steps() -> None:
    from firmware_bridge.emulator.materials import material

    assert max(thicknesses_mm(material("PE"))) == 37.5
    assert max(thicknesses_mm(material("Cu"))) < 1.0


def test_examined_bags_know_which_region_is_the_target() -> None:
    item = PlanItem(kind="bag", seed=4, target="Semtex1A")
    (bag,) = examine_all([item], 80, 1, 1)
    assert bag.target == "Semtex1A"
    assert bag.path_mm > 1
    inside = [region for region in bag.regions if region.overlap > 0.5]
    assert inside
    assert len(inside) < len(bag.regions)
    text = report(shipped(80), [bag, ExaminedBag("bag", 5, None, 0.0, ())])
    assert "| all | " in text
    assert "| Semtex1A | " in text


def test_half_of_the_items_carry_a_target_and_every_threat_comes() -> None:
    made = items((10, 200), 168)
    assert [item.seed for item in made] == list(range(10, 178))
    assert sum(item.target is not None for item in made) == 84
    assert len({item.target for item in made if item.kind == "bag"}) == 8
    assert {item.target for item in made if item.kind == "phone"} == {None, "C4"}
    with pytest.raises(ValueError, match="holds 5 bags"):
        items((0, 5), 6)


def test_the_threshold_keeps_its_promise() -> None:
    clean = np.random.default_rng(1).normal(size=120)
    threshold = choose(clean)
    assert (clean >= threshold).sum() == int(FALSE_ALARM_LIMIT * 120)
    assert (choose(clean[:5]) > clean[:5]).all()


def test_the_mixture_finds_two_heaps() -> None:
    rng = np.random.default_rng(5)
    heaps = np.concatenate([rng.normal(0, 1, (300, 6)), rng.normal(50, 5, (100, 6))])
    found = fit_mixture(heaps, 1, components=2)
    np.testing.assert_allclose(sorted(found.weight), [0.25, 0.75], atol=0.01)
    np.testing.assert_allclose(sorted(row[0] for row in found.mean), [0, 50], atol=2)
    with pytest.raises(ValueError, match="too few"):
        fit_mixture(heaps[:3], 1)


def test_trees_learn_what_a_line_cannot() -> None:
    rng = np.random.default_rng(6)
    rows = rng.uniform(-1, 1, (3000, 14))
    truth = (rows[:, 2] > 0) != (rows[:, 5] > 0.2)
    trees = boost(rows[:2000], truth[:2000].astype(float), 1)
    assert trees == boost(rows[:2000], truth[:2000].astype(float), 1)
    odds = Decision(trees).log_odds(rows[2000:])
    assert ((odds > 0) == truth[2000:]).mean() > 0.9
    with pytest.raises(ValueError, match="both kinds"):
        boost(rows, np.zeros(3000), 1)
    with pytest.raises(ValueError, match="same trees"):
        Trees.model_validate({**trees.model_dump(), "cut": trees.cut[1:]})


def test_area_under_the_curve() -> None:
    assert area_under_curve(np.array([2.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx(0.875)
    assert np.isnan(area_under_curve(np.array([]), np.array([1.0])))


def test_examined_regions_are_plain_data() -> None:
    assert ExaminedRegion((), 60.0, 0.0).steps == ()
