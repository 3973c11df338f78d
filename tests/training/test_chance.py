"""Our network, really trained, ends at chance on labels dealt at random; a label that leaks into the scans is found.

The scans are drawn: small, but with a sample that dark-field shows. 64 of them are judged, which nothing was fitted on.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.training.tiny_dataset import make  # noqa: E402
from training.dataset import Scans  # noqa: E402
from training.dataset import open as open_dataset  # noqa: E402
from training.dataset.manifest import Split, content_hash, write_manifest  # noqa: E402
from training.dataset.scan_file import write  # noqa: E402
from training.experiments.leakage import shuffled  # noqa: E402
from training.fit_network import machine, presets, train  # noqa: E402
from training.fit_network.result import Result  # noqa: E402

#: Crops hold nearly the whole scan, so that a mark anywhere can be learnt.
SMALL = presets.GrainPreset(
    "small", steps=40, batch=6, crop=48, width=8, dropout=0.0, bf16=False, overlay=0.0, flip=False
)
TRAINED, TESTED = 32, 64
SPLIT = Split(train=tuple(range(TRAINED)), test=tuple(range(TRAINED, TRAINED + TESTED)))
#: Chance ends outside the bound once in so many times.
ONCE_IN = 1000
SEED, DEAL = 0, 3
#: Side of the mark in pixels, and how far it moves the refraction, whose 1-σ is 0.1 and whose mean is 0 in every scan.
MARK, MOVED = 12, 20.0


def furthest(count: int) -> int:
    """Largest distance from count/2 of a number of right answers that is still chance.

    Two-sided binomial test: guesses of probability 1/2 are further off with a probability of at most 1/ONCE_IN.
    """
    beyond, least = 0, 0  # ways in which at most `least` answers are right, or at least so many wrong
    while 2 * (beyond + math.comb(count, least)) * ONCE_IN <= 2**count:
        beyond += math.comb(count, least)
        least += 1
    return count // 2 - least


def right(result: Result) -> tuple[int, int]:
    """Right answers at the threshold of 0.5, and where the half with the higher scores is called a threat.

    The second tells something even where a calibration without anything to go by calls all scans the same.
    """
    half = np.argsort(np.argsort(result.scores, kind="stable")) >= len(result.scores) // 2
    truth = result.labels == 1
    return int(((result.scores >= 0.5) == truth).sum()), int((half == truth).sum())


def at_chance(result: Result) -> bool:
    """Whether both numbers of right answers can be guesses."""
    count = len(result.labels)
    return all(abs(number - count / 2) <= furthest(count) for number in right(result))


def marked(scans: Scans, folder: Path) -> Scans:
    """A copy in which the label of a scan is written into a corner of its refraction, far from the sample."""
    folder.mkdir()
    recipe, entries = scans.manifest.recipe, []
    for k, entry in enumerate(scans.manifest.scans):
        scan = scans[k]
        images = scan.images.copy()
        images[1, :, :MARK, :MARK] += MOVED * (2 * entry.label - 1)
        sha256 = write(folder / entry.file, replace(scan, images=images), recipe.scan_sha256())
        entries.append(entry.model_copy(update={"sha256": sha256}))
    changed = {"scans": tuple(entries), "sha256": content_hash(recipe, entries)}
    write_manifest(folder, scans.manifest.model_copy(update=changed))
    return open_dataset(folder)


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Scans:
    """Drawn scans whose labels mean nothing."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("chance")
    return shuffled(make(folder / "own", scans=TRAINED + TESTED, splits=1), folder / "blind", DEAL)


@pytest.fixture(autouse=True)
def _processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(machine.DEVICE, "cpu")


def test_the_bound_is_the_binomials() -> None:
    # 64 guesses: 19 to 45 right, 30 to 70 %. Beyond: 2 · P(X ≤ 18) = 6.2e-4; one narrower, 2 · P(X ≤ 19) = 1.6e-3.
    assert furthest(64) == 13
    assert furthest(1000) == 52
    assert furthest(8) == 4  # too few to tell anything


def test_labels_dealt_at_random_end_at_chance(blind: Scans) -> None:
    result, again = (train(SMALL, blind, SPLIT, SEED) for _ in range(2))
    assert at_chance(result), right(result)
    assert len(set(result.scores.tolist())) > TESTED // 2  # it says something of each scan
    assert np.array_equal(result.scores, again.scores)


def test_a_label_written_into_the_scans_is_found(blind: Scans, tmp_path: Path) -> None:
    result = train(SMALL, marked(blind, tmp_path / "marked"), SPLIT, SEED)
    assert not at_chance(result), right(result)
    assert result.metrics["accuracy"] > 0.8
