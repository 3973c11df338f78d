"""Batches are the same whoever cuts them: the training, other processes, or the device that trains."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.training.tiny_dataset import make  # noqa: E402
from training.dataset import Scans  # noqa: E402
from training.fit_network import grain, loop, machine, presets  # noqa: E402
from training.fit_network.ahead import Batches  # noqa: E402
from training.fit_network.channels import planes_of  # noqa: E402
from training.fit_network.crops import Batch, Sampler  # noqa: E402
from training.fit_network.inputs import Store  # noqa: E402
from training.fit_network.resident import Resident, fits  # noqa: E402

SIZE, COUNT, SEED = 48, 5, 9
PLANES = planes_of("all")


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    return make(tmp_path_factory.mktemp("data") / "set", scans=10, shape=(44, 72))


def _sampler(scans: Scans, overlay: float = 0.0) -> tuple[Sampler, Store]:
    store = Store(scans)
    made = Sampler(store, range(10), PLANES, SIZE, on_sample=0.6, flip=True, overlay=overlay, mirror=True)
    return made, store


def _parts(batch: Batch) -> tuple[np.ndarray, ...]:
    return batch.planes, batch.cells, batch.weights, batch.labels


def test_the_device_cuts_the_crops_that_the_sampler_draws(scans: Scans) -> None:
    sampler, store = _sampler(scans)
    assert fits(store, range(10))
    resident = Resident(
        sampler, store, range(10), PLANES, size=SIZE, count=COUNT, seed=SEED, device=torch.device("cpu")
    )
    for step in (0, 7, 8):
        drawn = sampler.draw(loop.generator(SEED, step), COUNT)
        for ours, theirs in zip(resident(step), _parts(drawn), strict=True):
            np.testing.assert_array_equal(ours.numpy(), theirs)
    laid, _ = _sampler(scans, overlay=0.5)
    with pytest.raises(ValueError, match="lays scans over each other"):
        Resident(laid, store, range(10), PLANES, size=SIZE, count=COUNT, seed=SEED, device=torch.device("cpu"))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_other_processes_prepare_the_same_batches(scans: Scans) -> None:
    sampler, _ = _sampler(scans, overlay=0.5)

    def draw(step: int) -> Batch:
        return sampler.draw(loop.generator(SEED, step), COUNT)

    machine.use_loaders(2)
    try:
        batches = Batches(draw, 6)
        for step in (2, 3, 4, 5, 1):  # on from a checkpoint, and back
            for ours, theirs in zip(batches(step), _parts(draw(step)), strict=True):
                np.testing.assert_array_equal(ours.numpy(), theirs)
    finally:
        machine.use_loaders(None)
    with pytest.raises(ValueError, match="loaders = -1"):
        machine.use_loaders(-1)


def test_device_is_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.DEVICE, "cpu")
    assert machine.device().type == "cpu"
    assert machine.name() == "no GPU used"
    monkeypatch.setenv(machine.DEVICE, "tpu")
    with pytest.raises(ValueError, match=r"'tpu'.*cpu or cuda"):
        machine.device()


def test_a_cross_fitted_calibration_holds_no_scan_back(scans: Scans, tmp_path: Path) -> None:
    tiny = presets.GrainPreset("tiny", steps=6, batch=4, crop=48, width=8, bf16=False, overlay=0.0, folds=2, flip=False)
    trained = grain.fit(tiny, Store(scans), range(10), PLANES, 3, tmp_path / "save.pt")
    assert trained.fitted == trained.validation == tuple(range(10))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["save.pt"]
    labels = np.array([entry.label for entry in scans.manifest.scans])
    parts = grain.dealt(range(10), labels, 3, 1)
    assert sorted(k for part in parts for k in part) == list(range(10))
    assert all({labels[k] for k in part} == {0, 1} for part in parts)
    with pytest.raises(ValueError, match="6 folds need as many"):
        grain.dealt(range(10), labels, 6, 1)
