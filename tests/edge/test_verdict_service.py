"""The verdict service as a process on real sockets: killed, restarted, left alone, fed with garbage."""

from __future__ import annotations

import time
from collections.abc import Iterator

import msgpack
import pytest

from edge.messages import Decision, Fault
from edge.verdict.actions import Now
from edge.verdict.bags import new_bag, verdict_on
from edge.verdict.policy import Limits, unknown
from edge.verdict.recorder import Recorder
from tests.edge.verdict_bench import MM, Bench
from tests.edge.verdict_scene import entry

THREAT = {
    "box": (0, 0, 9, 9),
    "polygon": ((0.0, 0.0),),
    "area_mm2": 80.0,
    "probability": 0.9,
    "category": "explosive",
}


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Bench]:
    made = Bench(deadline_s=2.0)
    yield made
    made.close()


def test_bags_are_journaled_published_and_only_the_clear_one_clears_the_line(bench: Bench) -> None:
    bench.start()
    bench.enter("A")
    bench.leave("A")
    bench.assess("A")
    bench.until(lambda: len(bench.finals()) == 1)
    # The whole passage of B is lost on the way; the bridge remembers it.
    bench.enter("B", 200 * MM, heard=False)
    bench.leave("B", 280 * MM, heard=False)
    bench.assess("B", score=0.9, objects=[THREAT])
    bench.until(lambda: len(bench.finals()) == 2 and bool(bench.commands))
    assert [(v.bag_id, v.decision, v.bag_tag) for v in bench.finals()] == [
        ("A", Decision.CLEAR, "tag-A"),
        ("B", Decision.ALARM, "tag-B"),
    ]
    about_a = [topic for topic, message in bench.heard if getattr(message, "bag_id", "") == "A"]
    assert about_a == ["bag.start", "bag.verdict", "bag.end"]
    diverter = round(bench.config.verdict.diverter_mm * MM)
    cleared = [(c.action, c.bag_id, c.encoder_from, c.encoder_to) for c in bench.commands]
    assert cleared == [("clear_line", "A", diverter, diverter + 80 * MM)]
    assert bench.journal() == bench.verdicts()
    assert bench.states()[-1].calibration_state == "UNCALIBRATED"
    assert bench.stop() == 0


def test_killed_in_the_middle_of_a_bag_it_finishes_it_after_the_restart(bench: Bench) -> None:
    bench.start()
    bench.enter("A")
    bench.until(lambda: bench.started() == ["A"])
    bench.kill()
    bench.leave("A", heard=False)
    bench.start()
    bench.assess("A")
    bench.until(lambda: bool(bench.finals()))
    assert bench.started() == ["A", "A"]
    assert [(v.bag_id, v.decision) for v in bench.finals()] == [("A", Decision.CLEAR)]
    assert bench.journal() == bench.verdicts()


def test_killed_with_the_assessment_lost_the_bag_is_unknown_by_its_old_deadline(hasty: Bench) -> None:
    hasty.start()
    hasty.enter("A")
    hasty.until(lambda: hasty.started() == ["A"])
    hasty.kill()
    hasty.start()
    hasty.until(lambda: bool(hasty.finals()))
    assert [(v.bag_id, v.reason) for v in hasty.finals()] == [("A", Fault.SERVICE_RESTART)]
    assert hasty.journal() == hasty.verdicts()


def test_with_everything_else_dead_the_deadline_still_comes(hasty: Bench) -> None:
    hasty.start()
    hasty.enter("A")
    hasty.until(lambda: hasty.started() == ["A"])
    hasty.close_bridge()
    hasty.until(lambda: bool(hasty.finals()))
    assert [(v.bag_id, v.reason) for v in hasty.finals()] == [("A", Fault.TIMEOUT)]
    hasty.until(lambda: hasty.states()[-1].state == "FAULT")
    assert "bridge" in hasty.states()[-1].detail
    hasty.open_bridge()
    hasty.until(lambda: hasty.states()[-1].state == "DEGRADED")


def test_garbage_ends_the_bag_that_it_names_and_nothing_else(bench: Bench) -> None:
    bench.start()
    for name, start in (("A", 0), ("B", 200 * MM)):
        bench.enter(name, start)
        bench.leave(name, start + 80 * MM)
    bench.until(lambda: bench.started() == ["A", "B"])
    bench.results.send_multipart([b"x"])
    bench.results.send_multipart([b"assessment", b"\xc1\xff"])
    named = {"schema_id": "assessment/1", "bag_id": "A", "score": float("nan")}
    bench.results.send_multipart([b"assessment", msgpack.packb(named)])
    bench.assess("B")
    bench.until(lambda: len(bench.finals()) == 2)
    assert [(v.bag_id, v.decision, v.reason) for v in bench.finals()] == [
        ("A", Decision.UNKNOWN, Fault.FAILED_RECON),
        ("B", Decision.CLEAR, None),
    ]


def test_a_verdict_that_was_written_and_not_sent_is_sent_after_the_restart_once(bench: Bench) -> None:
    now = Now(time.time_ns(), 0)
    dead = Recorder(bench.state_dir / "journal.sqlite", boot_id="dead")
    dead.open(now)
    bag = new_bag("A", entry("A", 7, 0), now.wall, Limits.of(bench.config), now)
    dead.bag(bag.record)
    written = dead.verdict(verdict_on(bag, unknown(Fault.TIMEOUT, "late"), None, now), now)
    dead.close()
    bench.start()
    assert bench.verdicts() == [written]
    bench.kill()
    bench.start()
    assert bench.verdicts() == [written]
