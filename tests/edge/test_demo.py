"""The demo's own judgement of the lane: exactly one verdict per bag, no frame lost unseen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer

from edge.commands.demo import DEMO_MARK, _empty, check
from edge.config import Config
from edge.lane import LaneRun
from edge.messages import BagNotice, Decision, Verdict

CONFIG = Config()
LENGTH_UM = 169_520.0
#: (bag + 2 × 6 mm air + 9.8 mm of columns + 2 grid steps) / 98.3 µm per frame.
FRAMES = 1952


def truth(tag: str) -> dict[str, Any]:
    return {"tag": tag, "kind": "bag", "u_from_um": 1000.0, "u_to_um": 1000.0 + LENGTH_UM}


def run_of(*verdicts: Verdict) -> LaneRun:
    result = LaneRun()
    for verdict in verdicts:
        result.entered[verdict.bag_id] = BagNotice(bag_id=verdict.bag_id)
        result.verdicts.setdefault(verdict.bag_id, []).append(verdict)
    return result


def verdict(tag: str, **more: Any) -> Verdict:
    return Verdict.model_validate(
        {"bag_id": f"{tag}.1", "bag_tag": tag, "decision": Decision.CLEAR, "iata": "CLR", "frames": FRAMES} | more
    )


def test_a_good_run_has_no_problems() -> None:
    assert check(run_of(verdict("A"), verdict("B")), [truth("A"), truth("B")], CONFIG) == []


def test_frames_lost_and_counted_are_no_problem_of_the_lane() -> None:
    assert check(run_of(verdict("A", frames=FRAMES - 300, lost_frames=300)), [truth("A")], CONFIG) == []


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        (run_of(verdict("A", frames=FRAMES - 100)), "not counted as lost"),
        (run_of(verdict("A"), verdict("A")), "2 final verdicts"),
        (run_of(verdict("A", final=False)), "0 final verdicts"),
        (LaneRun(), "the lane saw 0"),
        (run_of(verdict("B")), "A has no verdict"),
    ],
)
def test_what_goes_wrong_is_said(result: LaneRun, problem: str) -> None:
    assert any(problem in line for line in check(result, [truth("A")], CONFIG))


def test_only_a_demo_is_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "lane"
    _empty(folder)
    (folder / "old").touch()
    _empty(folder)
    assert [p.name for p in folder.iterdir()] == [DEMO_MARK]
    (folder / DEMO_MARK).unlink()
    (folder / "journal.sqlite").touch()
    with pytest.raises(typer.Exit):
        _empty(folder)
    assert (folder / "journal.sqlite").exists()
