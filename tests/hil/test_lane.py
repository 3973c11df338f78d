"""The whole lane: real processes, real sockets, the emulated scanner. Nothing may end in silence."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from edge.lane import Lane
from edge.messages import Decision, Fault
from tests.hil.conftest import Run, bag, small_config

pytestmark = [pytest.mark.hil, pytest.mark.timeout(180)]


def journaled(state_dir: Path) -> int:
    with sqlite3.connect(state_dir / "journal.sqlite") as db:
        return int(db.execute("SELECT COUNT(*) FROM verdicts").fetchone()[0])


def in_beam(lane: Lane, number: int) -> bool:
    """Whether bag ``number`` has entered."""
    return len(lane.result.entered) >= number


def test_two_bags_get_one_verdict_each_and_are_archived(state_dir: Path) -> None:
    run = Run(small_config(state_dir), [bag("B1", 800_001), bag("B2", 800_002, target="C4")])
    with run.lane:
        run.finish()
        for tag in ("B1", "B2"):
            verdict = run.final(tag)
            assert verdict.reason is None, verdict
            assert verdict.decision in (Decision.ALARM, Decision.CLEAR)
            assert verdict.lost_frames == 0
            assert verdict.frames > 0
            assert verdict.calibration_id.startswith("cal-")
            archive = state_dir / "archive"
            assert (archive / f"{verdict.bag_id}.h5").is_file()
            # Drawn when the data are safe already.
            sheet = archive / f"{verdict.bag_id}.png"
            run.until(sheet.is_file)
    assert journaled(state_dir) == 2


def test_killing_services_behind_the_readout_costs_no_bag_its_judgement(state_dir: Path) -> None:
    """What they had in hand is in the spool. (Every service is killed, the readout too, in test_chaos.)"""
    names = ("retrieval", "inference", "verdict")
    bags = [bag(f"B{k}", 800_100 + k) for k in range(len(names) + 1)]
    patient = {"deadline_s": 80.0, "diverter_mm": 10_000.0}
    run = Run(small_config(state_dir, verdict=patient), bags)
    with run.lane:
        for k, name in enumerate(names):
            run.until(lambda k=k: in_beam(run.lane, k + 1))  # type: ignore[misc]
            run.kill(name)
        run.finish()
        for k in range(len(bags)):
            assert run.final(f"B{k}").reason is None, run.final(f"B{k}")
        assert run.lane.supervisor is not None
        assert {name: run.lane.supervisor.children[name].restarts for name in names} == dict.fromkeys(names, 1)


def test_a_bag_that_was_not_seen_whole_is_unknown_and_the_next_is_fine(state_dir: Path) -> None:
    harm: list[tuple[dict[str, object], Fault | None]] = [
        ({"packet_loss": 0.02}, Fault.INCOMPLETE_SCAN),
        ({"truncate_at_mm": 30.0}, Fault.INCOMPLETE_SCAN),
        ({"clip": True}, Fault.CLIPPED_BAG),
        # Reordered, duplicated and late packets harm nothing.
        ({"duplicate": 0.05, "reorder": 0.05}, None),
    ]
    bags = []
    for k, (faults, _) in enumerate(harm):
        bags += [bag(f"F{k}", 800_020 + 2 * k, faults=faults), bag(f"G{k}", 800_021 + 2 * k)]
    run = Run(small_config(state_dir), bags)
    with run.lane:
        run.finish()
        for k, (_, reason) in enumerate(harm):
            hit, following = run.final(f"F{k}"), run.final(f"G{k}")
            assert hit.reason is reason, hit
            assert following.reason is None, following
            assert (hit.lost_frames == 0) == (reason is not Fault.INCOMPLETE_SCAN) or "truncate_at_mm" in harm[k][0], (
                hit
            )
        assert all(child.restarts == 0 for child in run.lane.supervisor.children.values())  # type: ignore[union-attr]


def test_a_lane_that_is_started_again_goes_on_where_the_belt_counts_from_zero(state_dir: Path) -> None:
    for tag, seed in (("B1", 800_009), ("B2", 800_010)):
        run = Run(small_config(state_dir), [bag(tag, seed)])
        with run.lane:
            run.finish()
            assert run.final(tag).reason is None, run.final(tag)
    assert journaled(state_dir) == 2


def test_without_a_calibration_nothing_is_cleared(state_dir: Path) -> None:
    config = small_config(state_dir)
    run = Run(config, [bag("B1", 800_008)])
    with run.lane:
        run.until(lambda: in_beam(run.lane, 0))
        shutil.rmtree(state_dir / "calibration")
        run.finish()
        verdict = run.final("B1")
        assert (verdict.decision, verdict.reason) == (Decision.UNKNOWN, Fault.CALIBRATION_EXPIRED)
