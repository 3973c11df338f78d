"""Comparisons of small pretrainings, and what a few numbers of the sample tell without a picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="install darklane[report]")
torch = pytest.importorskip("torch", reason="install darklane[train]")

from tests.training import tiny_dataset  # noqa: E402
from training.dataset import Scans  # noqa: E402
from training.experiments import pretrainings, ratios  # noqa: E402
from training.experiments.__main__ import main  # noqa: E402
from training.experiments.parts import part  # noqa: E402
from training.experiments.plan import OURS  # noqa: E402
from training.experiments.runs import Run  # noqa: E402
from training.fit_network import presets, pretrain, start, train  # noqa: E402
from training.fit_network.channels import CHANNELS, planes_of  # noqa: E402
from training.fit_network.inputs import Store  # noqa: E402
from training.fit_network.train import Kept  # noqa: E402

SMALL = "study1-small-pretrained@0"


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return tiny_dataset.make(tmp_path_factory.mktemp("data"), scans=24)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return tiny_dataset.make(tmp_path_factory.mktemp("many"), scans=32, seed=900)


def test_numbers_of_the_sample_are_those_worked_by_hand(scans: Scans) -> None:
    store = Store(scans)
    found = np.stack([ratios.measured(store[k]) for k in (0, 1)])  # a threat and a benign one
    at = ratios.VALUES.index
    net = found[:, 0] - found[:, 2]
    # Drawn: transmission 0.6 in 0.8, and 60 µm² more dark-field in the threat.
    np.testing.assert_allclose(net[:, at("attenuation low")], np.log(0.8 / 0.6), atol=0.01)
    np.testing.assert_allclose(net[:, at("dark_field high")], [60.0, 0.0], atol=3.0)
    for channels, names in CHANNELS.items():
        given = ratios.numbers(found, planes_of(channels))
        dark = channels in ("all", "no-refraction", "no-sd", "one-bin")
        assert given.shape == (2, 2 * sum(name in ratios.VALUES for name in names))
        assert (np.abs(given[0] - given[1]).max() > 50) == dark, channels


def test_numbers_without_dark_field_know_nothing_of_what_only_it_shows(
    many: Scans, scans: Scans, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    monkeypatch.setattr(ratios, "STEPS", 60)
    monkeypatch.setattr(ratios, "MEMBERS", 2)
    judge = ratios.trainer(many)
    split = part(scans, "split-0")
    right = {}
    for channels in ("all", "no-dark-field"):
        outcome = judge(Run(pretrainings.RATIOS, channels), scans, split, 0, Path())
        right[channels] = outcome.metrics["auc"]
        assert "32 scans (all)" in outcome.weights
        assert len(outcome.scores) == len(split.test)
    assert right["all"] == 1.0
    own = judge(Run(pretrainings.RATIOS, retrieval="paper", start=pretrainings.OWN), scans, split, 0, Path())
    assert own.metrics["auc"] > 0.7
    assert "16 scans (own)" in own.weights
    assert right["no-dark-field"] < 0.9
    assert len(ratios.part(many, "scans-6")) == 6
    assert "soap" not in {many.manifest.scans[k].material for k in ratios.part(many, "without-soap")}
    with pytest.raises(ValueError, match="use scans-N or without-MATERIAL"):
        ratios.part(many, "half")


def test_scenes_that_are_judged_may_not_be_learnt_from(scans: Scans, tmp_path: Path) -> None:
    told = ["--learn", str(scans.folder), "--data", str(scans.folder), "--out", str(tmp_path)]
    with pytest.raises(ValueError, match="shares scene seeds"):
        ratios.main(told)


def test_pretrainings_are_compared_and_those_that_nobody_made_are_told(
    many: Scans, scans: Scans, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = presets.GrainPreset("tiny", steps=1, batch=4, crop=32, width=8, bf16=False, overlay=0.0)
    monkeypatch.setitem(presets.PRESETS, f"study1-small-{presets.PRETRAINING}", tiny)
    taken = presets.GrainPreset(SMALL[:-2], steps=1, width=8, bf16=False, pretrained=True)
    monkeypatch.setitem(presets.PRESETS, SMALL[:-2], taken)
    weights = tmp_path / "start"

    def trained(folder: str, *more: str) -> None:
        told = ["study1-small", "--data", str(many.folder), "--out", str(weights / folder), *more]
        assert pretrain.main(told) == 0

    trained(".")
    trained(".", "--channels", "no-dark-field")
    trained("without-soap", "--without", "soap", "--scans", "20")
    assert "15 scans without soap, 1 batches of 4, seed 0" in start.load(weights / "without-soap", "all").source.source
    for wrong in (("--without", "brick"), ("--scans", "99")):
        with pytest.raises(ValueError, match=r"use (one of C4, TNT, soap, sugar|1 to 32)"):
            trained("wrong", *wrong)
    # The plan asks for twelve materials.
    monkeypatch.setattr(pretrainings, "EXPLOSIVES", tiny_dataset.MATERIALS[::2])
    monkeypatch.setattr(pretrainings, "HARMLESS", tiny_dataset.MATERIALS[1::2])
    out = tmp_path / "out"
    told = ["study1", "--data", str(scans.folder), "--out", str(out), "--preset", SMALL, "--start", str(weights)]
    assert main([*told, "--splits", "2", "--only", "bins", "--only", "leave_one_out"]) == 0
    assert "not run: study1-small-pretrained@0.one-bin.map.split-0, which goes on from" in capsys.readouterr().err
    data = json.loads((out / "study1.json").read_text())
    state = {row["label"]: row["state"] for row in data["experiments"]["bins"]["rows"]}
    assert state[f"{OURS}, two bins, attenuation and offset"] == "run"
    assert state[f"{OURS}, one bin"] == "not run"
    left_out = {row["label"]: row for row in data["experiments"]["leave_one_out"]["rows"]}
    assert left_out[f"{OURS}, soap left out"]["state"] == "run"
    assert left_out[f"{OURS}, C4 left out"]["state"] == "not run"
    assert "study1-small-pretrained@0" in (out / "study1.html").read_text()


def test_scores_of_weights_as_they_came_are_made_once(many: Scans, scans: Scans, tmp_path: Path) -> None:
    tiny = presets.GrainPreset("tiny", steps=1, batch=4, crop=32, width=8, bf16=False, overlay=0.0)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(presets.PRESETS, f"study1-{presets.PRETRAINING}", tiny)
        assert pretrain.main(["study1", "--data", str(many.folder), "--out", str(tmp_path)]) == 0
    taken = presets.GrainPreset("tiny", steps=0, width=8, bf16=False, pretrained=True)
    kept: Kept = {}
    first, second = (part(scans, f"split-{k}") for k in range(2))
    train(taken, scans, first, 0, start=tmp_path, kept=kept)
    (known,) = kept.values()
    assert sorted(known) == sorted({*first.train, *first.test})
    given = train(taken, scans, second, 0, start=tmp_path, kept=kept)
    assert np.array_equal(given.scores, train(taken, scans, second, 0, start=tmp_path).scores)
