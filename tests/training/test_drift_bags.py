"""Decisions under drift: corrected they are those without drift, uncorrected they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.retrieval.engine import Output
from training.drift_bags import CONDITIONS, STEADY, DriftedBags, drifted_bags, lane_config
from training.drift_decisions import ALONE, FUSED, DriftedBag, decide, detectors, heading, line, summary

ROWS = 256
Table = dict[str, list[DriftedBag]]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> DriftedBags:
    """Two bags of a small field: half of the drift at the first, all of it at the second."""
    bags = drifted_bags(tmp_path_factory.mktemp("drift"), 2, ROWS)
    bags.make(processes=1)
    return bags


@pytest.fixture(scope="module")
def judged(kept: DriftedBags) -> Table:
    """What the shipped network with the discriminator, and the discriminator alone, say of them."""
    return {name: list(decide(kept, who)) for name, who in detectors(lane_config(ROWS, kept.folder)).items()}


@pytest.mark.parametrize("name", [FUSED, ALONE])
def test_corrected_drift_leaves_the_decisions_as_they_are(judged: Table, name: str) -> None:
    for bag in judged[name]:
        assert not bag.changed("corrected"), bag
        assert not bag.judged[STEADY].decision.startswith("UNKNOWN"), bag
        assert bag.judged["corrected"].shift_um == pytest.approx(-bag.shift_um, abs=0.3)
        assert bag.judged["corrected"].output == pytest.approx(bag.output, rel=0.01)
    assert "corrected: 0 of 2 decisions changed" in summary(judged[name])


@pytest.mark.parametrize("name", [FUSED, ALONE])
def test_uncorrected_drift_changes_them(judged: Table, name: str) -> None:
    assert all(bag.changed("uncorrected") for bag in judged[name])
    assert "uncorrected: 2 of 2 decisions changed, 2 of them to UNKNOWN" in summary(judged[name])


def test_tables_have_a_cell_for_every_condition(judged: Table) -> None:
    rows = [*heading().splitlines(), *(line(bag) for bag in judged[ALONE])]
    assert {row.count("|") for row in rows} == {6 + len(CONDITIONS)}


def test_kept_images_are_those_of_the_retrieval_and_not_made_twice(kept: DriftedBags) -> None:
    def images(slabs: list[Output]) -> list[bytes]:
        return [np.ascontiguousarray(arrays["images"]).tobytes() for _, arrays in slabs]

    first = list(kept.slabs(0, STEADY))
    assert [slab.index for slab, _ in first] == list(range(len(first)))
    assert first[-1][0].last
    made = {path: path.stat().st_mtime_ns for path in kept.folder.glob("*.npz")}
    kept.make(processes=1)
    assert made == {path: path.stat().st_mtime_ns for path in kept.folder.glob("*.npz")}
    (kept.folder / f"000-{STEADY}.npz").unlink()
    kept.make(processes=1)
    assert images(list(kept.slabs(0, STEADY))) == images(first)


def test_a_folder_of_other_bags_is_refused(kept: DriftedBags) -> None:
    with pytest.raises(ValueError, match="give another folder"):
        drifted_bags(Path(kept.folder), 3, ROWS)
