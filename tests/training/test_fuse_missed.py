"""What a fused network misses: where a target counts as found, and what the report tells of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from calibration.signing import KeyStore
from edge.inference.bundle import load
from edge.inference.manifest import Fusion
from tests.edge import network_bundle as tiny
from tests.training import tiny_dataset
from training.dataset.manifest import Entry
from training.fuse.missed import Judged, judged, report, score
from training.fuse.rule import Bag


def entry(k: int, material: str | None, mm: float | None, *, hidden: bool = False) -> Entry:
    label = 0 if material is None else 1
    return Entry.model_validate({
        "file": f"lane-{k}.h5", "seed": k, "label": label, "item": "bag", "material": material,
        "thickness_mm": mm, "hidden": hidden, "sha256": "0" * 64,
    })  # fmt: skip


def test_the_score_is_that_of_the_target_where_there_is_one() -> None:
    rule = Fusion.model_validate(tiny.FUSION | {"material_weight": 0.0, "bias": -1.0})
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0], heat[3, 3] = 5.0, 1.0
    odds, target = np.full((4, 4), np.nan, np.float32), np.zeros((4, 4), np.bool_)
    target[3, 3] = True
    assert score(Bag(heat, odds, target, 0.5), rule) == pytest.approx(0.5)
    assert score(Bag(heat, odds, None, 0.5), rule) == pytest.approx(1 / (1 + np.exp(-4.0)))


def test_the_report_counts_what_is_missed_and_what_of_it_is_hidden() -> None:
    bags = [
        Judged(entry(1, "TNT", 10.0), 0.2),
        Judged(entry(2, "TNT", 2.0, hidden=True), 0.1),
        Judged(entry(3, "TNT", 20.0), 0.6),
        Judged(entry(4, "C4", 5.0, hidden=True), 0.5),
        Judged(entry(5, None, None), 0.7),
        Judged(entry(6, None, None), 0.3),
    ]
    text = report(bags, 0.5)
    assert "Missed 2 of 4 targets, 1 of them hidden; found 1 of 2 hidden ones; 1 of 2 bags without one alarm" in text
    assert "| TNT | 3 | 2 | 1 | 1 | 10.0 mm, 6.0 mm |" in text
    assert "| C4 | 1 | 0 | 1 | 0 | 5.0 mm, – |" in text
    listed = [line for line in text.splitlines() if line.startswith("| lane-")]
    assert listed == [
        "| lane-2 | bag | TNT | 2.0 mm | yes | 0.100 |",
        "| lane-1 | bag | TNT | 10.0 mm | no | 0.200 |",
    ]


def test_a_network_that_was_never_fused_is_refused(tmp_path: Path) -> None:
    bundle = load(tiny.bundle(tmp_path / "models", fusion=None), KeyStore(tmp_path / "models" / "keys"))
    with pytest.raises(ValueError, match="has no fusion"):
        judged(bundle, tiny_dataset.make(tmp_path / "data", 2))
