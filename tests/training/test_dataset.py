"""Making data sets: the same seed gives the same content, a stopped run goes on, nothing is shared between parts."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.emulator.scene_shapes import Cloth
from firmware_bridge.scanner import Scanner
from training import dataset, seeds
from training.dataset import make as making
from training.dataset.__main__ import main
from training.dataset.labels import covered
from training.dataset.manifest import DatasetError, Entry, Recipe
from training.dataset.recipes import SCANS, recipe, splits
from training.dataset.scan_file import BENIGN, THREAT
from training.dataset.scenes import EXPLOSIVES, HARMLESS, compose
from training.dataset.simulation import simulate

#: A small part of the field: study 1 does not scale its scenes, so this is a narrow strip of a bag.
STRIP = {"native_rows": 256}


@pytest.fixture(scope="module")
def small() -> Recipe:
    return recipe("study1", scans=4, scanner=STRIP)


def test_the_same_recipe_gives_the_same_content_whatever_the_workers(small: Recipe, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    one = making.make(small, tmp_path / "one", progress=lambda done, total: told.append((done, total)))
    assert told == [(k, 4) for k in range(5)]
    # A run that was killed after two scans, and a rest of a third that was being written.
    other = tmp_path / "other"
    other.mkdir()
    for name in ("recipe.json", one.scans[0].file, one.scans[2].file):
        (other / name).write_bytes((tmp_path / "one" / name).read_bytes())
    (other / one.scans[1].file).with_suffix(".part").write_bytes(b"half a file")
    (other / one.scans[3].file).write_bytes(b"damaged")
    two = making.make(small, other, workers=2)
    assert two.sha256 == one.sha256
    assert two.scans == one.scans
    dataset.open(other).verify()
    with pytest.raises(DatasetError, match=r"holds another data set: seed 1000000 \(now 1000010\)"):
        making.make(recipe("study1", scans=4, seed=1_000_010, scanner=STRIP), other)


def test_every_few_scans_another_scanner_with_its_own_calibration(small: Recipe) -> None:
    each = recipe("study1", scans=4, scanner=STRIP, per_scanner=1)
    assert each.scan_sha256() != small.scan_sha256()
    first, second = (simulate(each, k) for k in range(2))
    assert np.array_equal(first.images, simulate(small, 0).images)
    same_bag = simulate(small, 1)
    assert np.array_equal(second.mask, same_bag.mask)
    assert not np.array_equal(second.images, same_bag.images)


def test_a_scan_of_study_1_is_labelled_by_its_scene(small: Recipe) -> None:
    threat, harmless = simulate(small, 0), simulate(small, 1)
    assert (threat.label, harmless.label) == (1, 0)
    assert THREAT in threat.mask
    assert BENIGN not in threat.mask
    assert BENIGN in harmless.mask
    assert THREAT not in harmless.mask
    assert harmless.truth["contrast"] is None
    rows = threat.images.shape[2]
    top, bottom, left, right = threat.truth["salient_px"]
    inside = threat.mask == THREAT
    assert inside[top:bottom, left:right].sum() > 0.97 * inside.sum()
    assert 0 <= top < bottom <= rows
    # The sample is seen where the mask says: it absorbs, and its dark-field is that of its truth within the noise.
    attenuation = -np.log(np.clip(threat.images[0, 0], 1e-3, None))
    assert np.nanmedian(attenuation[inside]) > np.nanmedian(attenuation[threat.mask == 0]) + 0.05
    assert threat.truth["contrast"]["dark_field"]["target"][0] > 20
    assert threat.truth["contrast"]["hidden"] is False
    assert threat.paper is not None
    assert threat.paper.images.shape == threat.images.shape


def test_binned_pixels_hold_the_same_values_with_less_noise() -> None:
    fine, coarse = (
        simulate(recipe("lane", scans=1, binning=b, scanner={"native_rows": 128, "belt_speed_mm_s": 1.0}), 0)
        for b in (1, 2)
    )
    assert coarse.images.shape[2] == fine.images.shape[2] // 2
    air = [scan.images[:, 0, :, :8].reshape(4, -1) for scan in (fine, coarse)]
    np.testing.assert_allclose(air[0].mean(1), air[1].mean(1), atol=0.5)
    noise = [scan.sigma[2, 0, :, :8].mean() for scan in (fine, coarse)]
    assert noise[0] / noise[1] == pytest.approx(2.0, rel=0.15)
    assert coarse.truth["pixel_mm"][1] == pytest.approx(2 * fine.truth["pixel_mm"][1])
    assert coarse.truth["lead_columns"] == pytest.approx((fine.truth["lead_columns"] - 0.5) / 2)


@pytest.mark.parametrize("kind", SCANS)
def test_no_scene_and_no_texture_is_shared_between_scans(kind: str) -> None:
    whole = recipe(kind, scans=24)  # type: ignore[arg-type]
    scanner = Scanner.model_validate(whole.scanner)
    composed = [compose(whole.kind, scanner, whole.seed, k) for k in range(24)]
    # Textures are drawn from the scene's seed and the part's number; cloth has a seed of its own.
    assert len({scene.seed for scene in composed}) == 24
    assert len({scene.seed[0] for scene in composed}) == 24
    folds = [{part.shape.seed for part in scene.parts if isinstance(part.shape, Cloth)} for scene in composed]
    assert sum(map(len, folds)) == len(set().union(*folds))


def test_study_1_takes_the_papers_materials_alike() -> None:
    whole = recipe("study1")
    assert whole.scans == 200
    found: Counter[str] = Counter()
    scanner = Scanner.model_validate(whole.scanner)
    for k in range(24):
        scene = compose("study1", scanner, whole.seed, k)
        (label,) = scene.truth["objects"]
        assert (label["label"] == "target") == (k % 2 == 0)
        assert 2.5 <= label["path_mm"] <= 37.5
        found[label["material"]] += 1
    assert found == dict.fromkeys((*EXPLOSIVES, *HARMLESS), 2)


def test_less_clutter_covers_less_of_the_sample() -> None:
    scanner = Scanner.model_validate(recipe("study1").scanner)
    parts = [
        np.mean([covered(compose("study1", scanner, 1_000_000, k, clutter)) or 0.0 for k in range(8)])
        for clutter in ((0, 0), None, (6, 10))
    ]
    assert parts[0] < 0.05  # a handle or the zip may reach over it
    assert parts[0] < parts[1] < parts[2]
    light, whole = recipe("study1"), recipe("study1", clutter=(6, 10))
    assert light.clutter is not None
    assert whole.scan_sha256() != light.scan_sha256()
    with pytest.raises(ValueError, match="clutter"):
        recipe("lane", clutter=(2, 4))


def _entries(of: Recipe) -> list[Entry]:
    items = ("laptop", "phone", "hair_dryer") if of.kind == "study2" else ("bag",)
    return [
        Entry(file="x", seed=of.seed + k, label=1 - k % 2, item=items[(k // 2) % len(items)],
              material=None, thickness_mm=None, sha256="x")
        for k in range(of.scans)
    ]  # fmt: skip


def test_splits_are_the_papers() -> None:
    first = recipe("study1")
    made = splits(first, _entries(first))
    assert len(made) == 10
    assert len({split.test for split in made}) == 10
    for split in made:
        assert (len(split.train), len(split.test)) == (140, 60)
        assert sum(k % 2 == 0 for k in split.test) == 30
        assert not set(split.train) & set(split.test)
    second = recipe("study2")
    (held,) = splits(second, _entries(second))
    assert (len(held.train), len(held.test)) == (496, 80)
    kinds = Counter((k % 2, (k // 2) % 3) for k in held.test)
    assert max(kinds.values()) - min(kinds.values()) <= 1


def test_seed_ranges_of_data_sets_meet_nothing_else() -> None:
    ranges = sorted([*seeds.DATASETS.values(), seeds.REFERENCE, seeds.TRAINING, seeds.EVALUATION])
    assert all(a[1] <= b[0] for a, b in pairwise(ranges))
    for kind, (first, last) in seeds.DATASETS.items():
        assert first + SCANS[kind] <= first + seeds.SECOND_SET  # type: ignore[index]
        assert first + seeds.SECOND_SET + SCANS[kind] <= last  # type: ignore[index]
    with pytest.raises(ValueError, match="belong to other data"):
        recipe("lane", seed=910_000)


def test_the_command_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lane", "--out", str(tmp_path), "--seed", "5"]) == 1
    assert "seed = 5" in capsys.readouterr().err
    assert main(["lane", "--out", str(tmp_path), "--binning", "3"]) == 1
    assert "does not divide" in capsys.readouterr().err


def test_a_data_set_can_grow(small: Recipe, tmp_path: Path) -> None:
    first = making.make(recipe("study1", scans=2, scanner=STRIP), tmp_path)
    told: list[int] = []
    grown = making.make(
        recipe("study1", scans=3, scanner=STRIP), tmp_path, progress=lambda done, total: told.append(done)
    )
    assert told == [2, 3]
    assert grown.scans[:2] == first.scans
    assert len(dataset.open(tmp_path)) == 3
