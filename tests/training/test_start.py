"""Trainings that go on from a network that was trained on other scans."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.training import tiny_dataset  # noqa: E402
from training.dataset import Scans  # noqa: E402
from training.experiments.trainer import preset_of  # noqa: E402
from training.fit_network import grain, presets, pretrain, start, train  # noqa: E402
from training.fit_network.channels import planes_of  # noqa: E402
from training.fit_network.inputs import Store  # noqa: E402

TINY = presets.GrainPreset("tiny", steps=60, batch=6, crop=48, width=8, every=20, bf16=False, overlay=0.0)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    torch.set_num_threads(1)
    return tiny_dataset.make(tmp_path_factory.mktemp("data") / "set", scans=16, shape=(64, 72))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command makes of other scenes."""
    folder = tmp_path_factory.mktemp("weights")
    others = tiny_dataset.make(folder / "set", scans=16, seed=700, shape=(64, 72))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(presets.PRESETS, f"study1-{presets.PRETRAINING}", TINY)
        assert pretrain.main(["study1", "--data", str(others.folder), "--out", str(folder)]) == 0
    assert sorted(path.name for path in folder.glob("*.pt")) == ["all.pt"]
    return folder


def test_a_few_batches_suffice_for_what_was_learnt_before(scans: Scans, weights: Path) -> None:
    split = scans.manifest.splits[0]
    short = replace(TINY, steps=1, pretrained=True, optimiser=presets.GOING_ON)
    result = train(short, scans, split, 0, start=weights)
    assert result.metrics["auc"] == 1.0
    assert "scenes 700 to 715" in result.weights.source
    assert result.weights.sha256
    # The same without what was learnt before knows nothing yet.
    blind = train(replace(short, pretrained=False), scans, split, 0)
    assert blind.metrics["brier"] > result.metrics["brier"]
    assert np.array_equal(result.scores, train(short, scans, split, 0, start=weights).scores)


def test_without_steps_only_the_calibration_is_fitted(scans: Scans, weights: Path) -> None:
    split = scans.manifest.splits[0]
    taken = replace(TINY, steps=0, pretrained=True)
    before = start.load(weights, "all")
    trained = grain.fit(taken, Store(scans), split.train, planes_of("all"), 0, start=before)
    assert trained.fitted == ()
    assert trained.validation == split.train
    for name, value in trained.network.state_dict().items():
        assert torch.equal(value, before.state[name]), name
    assert train(taken, scans, split, 0, start=weights).metrics["auc"] == 1.0
    assert preset_of("study1-pretrained@0") == replace(presets.FEW, name="study1-pretrained@0", steps=0)
    for wrong in ("study1@0", "study1-pretrained@-1", "study1-lite0-texture@3"):
        with pytest.raises(ValueError, match=wrong):
            preset_of(wrong)


def test_a_finished_pretraining_is_not_made_again(
    weights: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(presets.PRESETS, f"study1-{presets.PRETRAINING}", TINY)
    told = ["study1", "--data", str(weights / "set"), "--out", str(weights)]
    before = (weights / "all.pt").read_bytes()

    def again(*_: object) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as patched:
        patched.setattr(grain, "fit", again)
        assert pretrain.main(told) == 0
        assert "is there already" in capsys.readouterr().out
        assert (weights / "all.pt").read_bytes() == before
        for other in (("--steps", "1"), ("--seed", "1"), ("--scans", "8")):
            with pytest.raises(AssertionError, match="trained again"):
                pretrain.main([*told, *other])


def test_weights_that_do_not_fit_or_know_the_scenes_are_refused(scans: Scans, weights: Path, tmp_path: Path) -> None:
    split = scans.manifest.splits[0]
    going_on = replace(TINY, pretrained=True)
    with pytest.raises(ValueError, match="preset tiny: goes on from other weights"):
        train(going_on, scans, split, 0)
    with pytest.raises(start.StartError, match=r"one-bin\.pt: does not exist"):
        train(going_on, scans, split, 0, "one-bin", start=weights)
    with pytest.raises(start.StartError, match="width 8, the preset has 17 and 12"):
        train(replace(going_on, width=12), scans, split, 0, start=weights)
    seen = tiny_dataset.make(tmp_path / "seen", scans=16, seed=710, shape=(64, 72))
    with pytest.raises(start.StartError, match=r"scenes 700 to 715; 710 of .* is one of them"):
        train(going_on, seen, seen.manifest.splits[0], 0, start=weights)
    # Going on in turn: scenes between the two sets are nobody's.
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(presets.PRESETS, f"study1-{presets.PRETRAINING}", replace(TINY, steps=1))
        later = tiny_dataset.make(tmp_path / "later", scans=16, seed=1700, shape=(64, 72))
        told = ["study1", "--data", str(later.folder), "--out", str(tmp_path / "twice"), "--start", str(weights)]
        assert pretrain.main(told) == 0
    twice = start.load(tmp_path / "twice", "all", scans)
    assert twice.seeds == ((700, 715), (1700, 1715))
    assert f"gone on from {start.load(weights, 'all').source.sha256[:16]}" in twice.source.source
    (tmp_path / "all.pt").write_bytes(b"nothing")
    with pytest.raises(start.StartError, match="cannot be gone on from"):
        train(going_on, scans, split, 0, start=tmp_path)
