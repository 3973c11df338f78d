"""Network and discriminator joined: the fit on made-up bags, and that the lane computes what was fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.signing import KeyStore
from edge.inference.bundle import load
from edge.inference.card import card
from edge.inference.detector import Geometry, Tile
from edge.inference.examination import MaterialDetector
from edge.inference.lane_detector import LaneDetector
from edge.inference.manifest import Fusion
from edge.inference.model_folder import ModelFolder
from edge.inference.network import Network, open_network
from edge.inference.tiles import Bool
from firmware_bridge.scanner import Scanner
from tests.edge import network_bundle as tiny
from tests.edge.inference_scene import GRID_UM, MODEL, PITCH_UM, Slab, images
from training.dataset.scan_file import THREAT, Scan
from training.fuse.__main__ import ship
from training.fuse.bags import examine
from training.fuse.fit import SMOOTHINGS, SOFTNESS, fused, threshold_for
from training.fuse.rule import (
    Bag,
    Rule,
    candidates,
    fit,
    folds,
    logistic,
    losses,
    raw,
    steadiest,
    unseen,
    worth_joining,
)
from training.model import FALSE_ALARM_LIMIT

ROWS, COLUMNS = 12, 16
RATE = 0.9


def bags(heat: float, material: float, count: int = 80, seed: int = 1) -> list[Bag]:
    """Noise of 1 everywhere, and on every other bag's target so much more of both; four regions are judged."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        target: Bool | None = None
        warm = rng.standard_normal((ROWS, COLUMNS)).astype(np.float32)
        odds = np.full((ROWS, COLUMNS), np.nan, np.float32)
        for row, column in ((0, 0), (0, 8), (6, 0), (6, 8)):
            odds[row : row + 4, column : column + 5] = rng.standard_normal()
        if k % 2 == 0:
            target = np.zeros((ROWS, COLUMNS), np.bool_)
            target[:4, 8:13] = True
            warm[target] += heat
            odds[target] += material
        made.append(Bag(warm, odds, target, float(1 / (1 + np.exp(-np.nanmax(odds))))))
    return made


def test_weight_goes_to_what_tells_bags_apart() -> None:
    network, discriminator = fit(bags(4.0, 0.0)), fit(bags(0.0, 5.0))
    assert network.heat_weight > 3 * network.material_weight
    assert discriminator.material_weight > 3 * discriminator.heat_weight
    both = fit(bags(2.0, 2.0))
    assert min(both.heat_weight, both.material_weight) > 0.2


def test_of_rules_about_as_good_the_one_with_the_least_of_the_discriminator_is_taken() -> None:
    rng = np.random.default_rng(8)
    best, noise = rng.uniform(0, 1, 100), rng.standard_normal(100)
    noise -= noise.mean()
    # Standard error 0.1: as good, worse by half of it, worse by twice as much.
    loss = np.stack([best, best + noise / noise.std() + 0.05, best + noise / noise.std() + 0.2])
    assert steadiest(loss, np.array([1.0, 0.5, 0.1])) == 1
    assert steadiest(loss, np.array([1.0, 1.5, 0.1])) == 0
    assert steadiest(loss[:, :1], np.array([1.0, 0.5, 0.1])) == int(np.argmin(loss[:, 0])), "one bag tells no error"


def test_what_adds_nothing_is_not_joined() -> None:
    for heat, material, joined in ((4.0, 0.0, False), (2.0, 2.5, True), (0.0, 5.0, True)):
        some = bags(heat, material)
        label = np.array([bag.target is not None for bag in some])
        assert worth_joining(some, candidates(some), label) == joined, (heat, material)
    made, _ = fused(bags(4.0, 0.0), "0" * 64, RATE, "made up", "none")
    assert made.material_weight == 0
    assert made.heat_weight > 0
    assert (made.smoothings, made.softness) == (SMOOTHINGS[:1], 0.0), "what moves nothing is not averaged"


def test_rules_are_compared_on_bags_that_they_were_not_fitted_on() -> None:
    rng, label = np.random.default_rng(5), np.arange(40) % 2 == 0
    noise = rng.standard_normal((200, 40))
    _, scale, bias = logistic(noise, label)
    seen, new = losses(scale[:, None] * noise + bias[:, None], label), unseen(noise, label)
    chance = losses(np.zeros((1, 40)), label).mean()
    assert seen.mean(1).min() < seen.mean() < chance < new.mean(), "what is fitted to noise is worse than no rule"
    assert sorted(np.bincount(folds(label))) == [8] * 5
    changed = label.copy()
    changed[:2] = changed[1::-1]
    part = folds(label)[0]
    assert part != folds(label)[1]
    other = ~np.isin(folds(label), (part, folds(label)[1]))
    assert not np.allclose(unseen(noise, changed)[:, other], new[:, other]), "all others are learnt from"


def test_where_network_and_discriminator_say_the_same_the_network_is_believed() -> None:
    same = []
    for bag in bags(3.0, 0.0):
        same.append(Bag(bag.heat, bag.heat.copy(), bag.target, bag.score))
    rule = fit(same)
    assert rule.material_weight == 0
    assert rule.heat_weight > 0.5


def test_the_manifest_tells_cross_validated_figures() -> None:
    made, helps = fused(bags(4.0, 2.0), "0" * 64, RATE, "seeds", "command")
    assert (made.bags, made.targets, made.target_rate) == (80, 40, RATE)
    assert made.detections == pytest.approx(RATE, abs=0.1)
    assert made.false_alarms < 0.2
    assert helps
    assert made.area_under_curve["fused"] > made.area_under_curve["material"]
    shares = [point.detections for point in made.operating_points]
    assert shares == sorted(shares)
    assert made.reliability[0].share < 0.2
    assert made.reliability[-1].share > 0.8


def test_the_rate_follows_from_the_false_alarms_unless_it_is_given() -> None:
    good, _ = fused(bags(6.0, 4.0), "0" * 64, None, "", "")
    bad, _ = fused(bags(2.0, 0.0), "0" * 64, None, "", "")
    assert good.target_rate >= 0.95
    assert bad.target_rate < good.target_rate
    chosen = next(point for point in good.operating_points if point.detections >= good.target_rate)
    assert chosen.false_alarms <= FALSE_ALARM_LIMIT


def test_a_network_that_knows_nothing_does_not_help() -> None:
    made, helps = fused(bags(0.0, 4.0), "0" * 64, RATE, "", "")
    assert not helps
    assert made.area_under_curve["network"] == pytest.approx(0.5, abs=0.15)
    nobody, helps = fused(bags(0.0, 0.0), "0" * 64, RATE, "", "")
    assert not helps
    assert nobody.false_alarms > 0.6


def test_the_threshold_is_reached_by_the_stated_share() -> None:
    levels = np.arange(10.0)
    assert threshold_for(levels, 0.9) == 0.5
    assert threshold_for(levels, 1.0) == -0.5
    assert threshold_for(levels, 0.1) == 8.5


def test_logistic_regression_finds_what_made_the_labels() -> None:
    rng = np.random.default_rng(4)
    levels = rng.normal(0, 2, 4000)
    label = rng.random(4000) < 1 / (1 + np.exp(-(1.5 * levels - 0.5)))
    loss, scale, bias = logistic(np.stack([levels, -levels]), label)
    assert (scale[0], bias[0]) == (pytest.approx(1.5, abs=0.15), pytest.approx(-0.5, abs=0.15))
    assert scale[1] == 0.0, "a network is never believed the wrong way round"
    assert loss[0] < loss[1]
    separable, steep, _ = logistic(np.array([[-1.0, -1.1, 1.0, 1.2]]), np.array([False, False, True, True]))
    assert np.isfinite([separable, steep]).all()


def test_a_target_counts_only_where_it_is() -> None:
    bag = bags(0.0, 0.0, 2)[0]
    assert bag.target is not None
    bag.heat[10, 2] = 50.0
    assert raw(bag, (1.0, 0.0), 0.0) < 10
    assert Rule(1.0, 0.0, 0.0, 0.0).highest(bag) == 50.0


@pytest.fixture
def network(tmp_path: Path) -> Network:
    evidence = {"smoothings": SMOOTHINGS, "softness": SOFTNESS}
    path = tiny.bundle(tmp_path, fusion={**tiny.FUSION, "material_sha256": MODEL.manifest.sha256} | evidence)
    return open_network(load(path, KeyStore(tmp_path / "keys")), "onnxruntime", 1, Scanner())


def test_the_lane_computes_what_was_fitted(network: Network) -> None:
    """One scan as a bag of the fit and as a bag of the lane: the same level, and the target where it was drawn."""
    place = (50, 60, 100, 120)
    arrays = images((Slab("nylon_textile", 0.04, (20, 20, 140, 180)), Slab("Semtex1A", 0.6, place)))
    mask = np.zeros((160, 200), np.uint8)
    mask[place[0] : place[2], place[1] : place[3]] = THREAT
    scan = Scan("x", arrays["images"], arrays["sigma"], arrays["flags"], mask, {"label": 1})
    material = MaterialDetector(MODEL, min_area_mm2=60.0)
    (bag,) = examine(scan, (PITCH_UM, GRID_UM), material, [network])
    assert bag.target is not None
    assert bag.target.sum() == 25 * 30
    rule = network.graph.fusion
    assert isinstance(rule, Fusion)
    level = Rule(rule.heat_weight, rule.material_weight, rule.uncovered, rule.bias).highest(bag)
    examination = LaneDetector(material, network).open(Geometry(160, PITCH_UM, GRID_UM))
    examination.add(Tile(0, scan.images, scan.sigma, scan.flags))
    assert examination.finish().score == pytest.approx(1 / (1 + np.exp(-level)), abs=1e-5)


def test_what_is_shipped_is_verified_with_the_key_beside_it(tmp_path: Path) -> None:
    path = tiny.bundle(tmp_path / "made")
    shipped, page = tmp_path / "shipped", tmp_path / "card.md"
    (shipped / "net-old").mkdir(parents=True)
    ship(path, KeyStore(tmp_path / "made" / "keys"), shipped, page)
    folder = ModelFolder(tmp_path / "lane", shipped)
    bundle = folder.load("shipped")
    assert bundle.id == path.name
    assert folder.in_use() == "shipped"
    assert folder.in_use("shadow") == "none"
    assert page.read_text(encoding="utf-8") == card(bundle)
    assert not list(shipped.rglob("signing.key"))
    assert {p.name for p in shipped.iterdir()} == {path.name, "keys"}
    tiny.altered(shipped / path.name, "manifest.json", lambda b: b + b" ")
    assert folder.in_use() == "shipped", "damage must be noticed"
