"""Bags that a killed service lost: asked for again, judged as usual if the deadline allows, else ServiceRestart."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge import wire
from edge.messages import Decision, DeviceEvent, DeviceEventKind, Fault, Recall, Slab
from edge.readout.outbox import Outbox
from edge.readout.recall import Recaller
from edge.readout.window import Geometry
from edge.spool import Spool
from edge.verdict.actions import Action, Recalled
from edge.verdict.engine import BagLedger
from edge.verdict.recall import MOST
from tests.edge.test_readout_outbox import Socket, frames, put_bag
from tests.edge.verdict_scene import CONFIG, LIMITS, MM, Memory, assessment, at, entry, leave, report

PASSED = 80 * MM + LIMITS.scan_tail_counts
LOST = {"fault": Fault.SERVICE_RESTART}


class Lane:
    """A ledger, and what it asked the readout for."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.ledger = self.memory.ledger()
        self.asked: list[Recalled] = []

    def do(self, actions: list[Action]) -> None:
        self.asked += [action for action in actions if isinstance(action, Recalled)]
        self.memory.do(actions)

    def pass_by(self, bag: str, seq: int, encoder: int = 0) -> None:
        """A bag of 80 mm passes the barrier; it is not out of the beam yet."""
        self.do(self.ledger.event(entry(bag, encoder, 0.1, seq), at(0.1)))
        self.do(self.ledger.event(leave(bag, encoder + 80 * MM, 0.5, seq + 1), at(0.5)))

    def belt(self, encoder: int, seconds: float) -> None:
        self.do(self.ledger.event(report(encoder, seconds), at(seconds)))

    def assess(self, bag: str, seconds: float, **changes: object) -> None:
        self.do(self.ledger.assessment(assessment(bag, **changes), at(seconds)))

    def tick(self, seconds: float) -> None:
        self.do(self.ledger.tick(at(seconds)))

    def final(self, bag: str) -> tuple[Decision, Fault | None]:
        verdict = self.memory.finals[bag]
        return verdict.decision, verdict.reason


def test_a_bag_that_a_service_lost_is_asked_for_when_it_has_left_the_beam_and_judged_as_usual() -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    lane.assess("A", 0.6, **LOST)
    lane.tick(0.7)
    assert lane.asked == []
    assert lane.memory.finals == {}
    lane.belt(PASSED, 1)
    (asked,) = lane.asked
    assert asked.bag_id == "A"
    assert asked.scan_id != "A"
    lane.assess("A", 2, scan_id=asked.scan_id)
    assert lane.final("A") == (Decision.CLEAR, None)
    lane.tick(9)
    assert len(lane.asked) == 1


def test_a_bag_that_is_lost_again_and_again_ends_as_service_restart_at_once() -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    lane.belt(PASSED, 1)
    for number in range(MOST + 1):
        assert lane.memory.finals == {}
        lane.assess("A", 1.1 + number / 10, **LOST, seq=number + 1)
        lane.tick(1.15 + number / 10)
    assert len({asked.scan_id for asked in lane.asked}) == MOST
    assert lane.final("A") == (Decision.UNKNOWN, Fault.SERVICE_RESTART)


def test_the_deadline_does_not_wait_for_another_try() -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    lane.assess("A", 0.6, **LOST)
    lane.belt(PASSED, 1)
    lane.tick(10.2)
    assert lane.final("A") == (Decision.UNKNOWN, Fault.SERVICE_RESTART)
    assert "asked for again 1" in lane.memory.finals["A"].detail
    lane.assess("A", 11, scan_id=lane.asked[0].scan_id)
    (late,) = lane.memory.supplements
    assert late.decision is Decision.CLEAR
    lane.assess("A", 12, seq=9)
    assert len(lane.memory.supplements) == 2


def test_a_bag_that_a_younger_one_overtook_is_asked_for_at_once() -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    lane.pass_by("B", 3, 150 * MM)
    lane.belt(150 * MM + PASSED, 1)
    lane.assess("B", 2)
    lane.tick(2.1)
    assert [asked.bag_id for asked in lane.asked] == ["A"]
    assert lane.final("B") == (Decision.CLEAR, None)
    # A repeated scan says nothing about the order.
    lane.pass_by("C", 5, 300 * MM)
    lane.assess("A", 3, scan_id=lane.asked[0].scan_id)
    assert [asked.bag_id for asked in lane.asked] == ["A"]


def test_silence_of_the_whole_lane_is_a_reason_to_ask_and_other_results_are_not() -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    lane.belt(PASSED, 1)
    quiet_s = LIMITS.deadline_ns / 4e9
    lane.tick(1 + quiet_s - 0.1)
    assert lane.asked == []
    lane.assess("elsewhere", 1 + quiet_s - 0.05)
    lane.do(lane.ledger.event(entry("elsewhere", 400 * MM, 1 + quiet_s, 7), at(1 + quiet_s)))
    lane.tick(1 + quiet_s + 0.1)
    assert [asked.bag_id for asked in lane.asked] == []
    lane.tick(1 + 2 * quiet_s)
    assert [asked.bag_id for asked in lane.asked] == ["A"]


def test_bags_that_were_open_when_the_service_died_are_asked_for() -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    lane.ledger = lane.memory.ledger(2)
    assert lane.asked == []
    lane.belt(PASSED, 2.1)
    (asked,) = lane.asked
    lane.assess("A", 3, scan_id=asked.scan_id)
    assert lane.final("A") == (Decision.CLEAR, None)


def _standing(ledger: BagLedger, moving: bool | None, encoder: int, device_ms: int) -> list[Action]:
    event = DeviceEvent(kind=DeviceEventKind.ENCODER, encoder=encoder, device_t_us=device_ms * 1000, belt_moving=moving)
    return ledger.event(event, at(1 + device_ms / 1e3))


@pytest.mark.parametrize(("moving", "doubt"), [(True, True), (False, False), (None, False)])
def test_an_encoder_that_stands_while_the_belt_is_on_is_a_doubt(moving: bool | None, doubt: bool) -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    for number in range(5):
        lane.do(_standing(lane.ledger, moving, 90 * MM, 200 * number))
    assert bool(lane.memory.finals) == doubt
    if doubt:
        assert lane.final("A") == (Decision.UNKNOWN, Fault.IDENTITY_DOUBT)
        assert "stands" in lane.memory.finals["A"].detail


def test_reports_that_are_far_apart_do_not_make_an_encoder_stand() -> None:
    lane = Lane()
    lane.pass_by("A", 1)
    for number in range(2):
        lane.do(_standing(lane.ledger, True, 90 * MM, 5000 * number))
    lane.do(_standing(lane.ledger, True, 91 * MM, 5200))
    assert lane.memory.finals == {}


class Again:
    """A readout's outbox and the part of it that answers recalls."""

    def __init__(self, folder: Path) -> None:
        self.socket = Socket(99)
        store = Spool(folder)
        self.outbox = Outbox(store, self.socket, self._sent)
        self.recaller = Recaller(store, self.outbox, Geometry.of(CONFIG), CONFIG.scanner.rows, lambda slab: slab)

    def _sent(self, bag_id: str) -> None:
        self.recaller.sent(bag_id)

    def taken(self) -> list[tuple[str, str, int, Fault | None]]:
        found = [(slab.bag_id, slab.scan_id, slab.index, slab.fault) for slab in self.socket.taken]
        self.socket.taken.clear()
        return found


def test_readout_sends_a_complete_bag_again_as_another_scan(tmp_path: Path) -> None:
    readout = Again(tmp_path)
    put_bag(readout.outbox, "a", 3)
    readout.taken()
    readout.recaller.take(Recall(bag_id="a", scan_id="a.again1"), recording=False)
    assert readout.taken() == [("a", "a.again1", index, None) for index in range(3)]
    readout.outbox.close()


def test_readout_waits_for_the_end_of_a_bag_that_is_being_recorded(tmp_path: Path) -> None:
    readout = Again(tmp_path)
    put_bag(readout.outbox, "a", 2, ends=False)
    readout.recaller.take(Recall(bag_id="a", scan_id="x"), recording=True)
    assert [scan for _, scan, _, _ in readout.taken()] == ["", ""]
    readout.outbox.put("a", frames("a", 2, last=True), last=True)
    assert [(scan, index) for _, scan, index, _ in readout.taken()] == [("", 2), ("x", 0), ("x", 1), ("x", 2)]
    readout.outbox.close()


def test_readout_says_so_when_there_is_nothing_to_send_again(tmp_path: Path) -> None:
    readout = Again(tmp_path)
    readout.recaller.take(Recall(bag_id="gone", scan_id="x", encoder=5), recording=False)
    assert readout.taken() == [("gone", "x", 0, Fault.SERVICE_RESTART)]
    _, slab, arrays = wire.decode(frames("torn", 0), Slab)
    cut = slab.model_copy(update={"last": True, "fault": Fault.DETECTOR_FAULT})
    readout.outbox.put("torn", wire.encode("slab", cut, arrays), last=True)
    readout.taken()
    readout.recaller.take(Recall(bag_id="torn", scan_id="y"), recording=False)
    assert readout.taken() == [("torn", "y", 0, Fault.DETECTOR_FAULT)]
    readout.outbox.close()
