"""What a lost, faulty or switched-off device does to the bags in the scanner, to the lane's state and to its lights."""

from __future__ import annotations

from typing import Any

import pytest

from edge.bridge.board import CONNECTION, Board
from edge.bridge.lights import SILENT_S, TABLE, StackLight
from edge.messages import Decision, DeviceEvent, DeviceEventKind, DeviceState, Fault, LaneState
from edge.verdict.belt import BeltState
from edge.verdict.engine import BagLedger
from tests.edge.verdict_scene import LIMITS, MM, Memory, assessment, at, entry, leave, report

LOST, FOUND, STATE, ESTOP = (
    DeviceEventKind.DEVICE_LOST,
    DeviceEventKind.DEVICE_FOUND,
    DeviceEventKind.DEVICE_STATE,
    DeviceEventKind.ESTOP,
)


def device(kind: DeviceEventKind, seconds: float, **more: Any) -> DeviceEvent:
    return DeviceEvent(kind=kind, event_t_ns=at(seconds).wall, **more)


def beam(on: bool, seconds: float, **more: Any) -> DeviceEvent:
    return device(STATE, seconds, device="tube", state="on" if on else "ready", beam_on=on, **more)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def ledger(memory: Memory) -> BagLedger:
    """Bag OLD has left the beam, bag IN is being scanned; both wait for their assessments."""
    made = BagLedger(LIMITS, memory, at(0))
    memory.do(made.event(beam(True, 0.1), at(0.1)))
    for event in (entry("OLD", 0, 1, 1), leave("OLD", 80 * MM, 2, 2), entry("IN", 150 * MM, 3, 3)):
        memory.do(made.event(event, at(3)))
    memory.do(made.event(report(170 * MM, 3.1), at(3.1)))
    return made


@pytest.mark.parametrize(
    ("event", "reason", "words"),
    [
        (device(LOST, 4, device="belt", detail="unplugged"), Fault.DETECTOR_FAULT, "belt controller was lost"),
        (device(LOST, 4, device="tube", detail="unplugged"), Fault.DETECTOR_FAULT, "x-ray generator was lost"),
        (device(LOST, 4, device="detector", detail="gone"), Fault.DETECTOR_FAULT, "detector was lost"),
        (beam(False, 4), Fault.DETECTOR_FAULT, "beam went off"),
        (beam(False, 4, interlock_closed=False), Fault.USER_INTERRUPT, "interlock of the x-ray generator"),
        (device(STATE, 4, device="tube", state="fault", detail="arc"), Fault.DETECTOR_FAULT, "generator reported arc"),
        (device(STATE, 4, device="detector", state="fault", detail="hot"), Fault.DETECTOR_FAULT, "reported hot"),
        (device(ESTOP, 4, estop_pressed=True), Fault.USER_INTERRUPT, "emergency stop"),
    ],
)
def test_the_bag_in_the_scanner_ends_and_the_one_behind_it_does_not(
    memory: Memory, ledger: BagLedger, event: DeviceEvent, reason: Fault, words: str
) -> None:
    memory.do(ledger.event(event, at(4)))
    assert set(memory.finals) == {"IN"}
    verdict = memory.finals["IN"]
    assert (verdict.decision, verdict.reason) == (Decision.UNKNOWN, reason)
    assert words in verdict.detail
    memory.do(ledger.assessment(assessment("OLD"), at(5)))
    assert memory.finals["OLD"].reason is None


def test_motion_controllers_come_and_go_without_harm(memory: Memory, ledger: BagLedger) -> None:
    memory.do(ledger.event(device(LOST, 4, device="esp-1", detail="unplugged"), at(4)))
    memory.do(ledger.event(device(STATE, 4, device="m1_x", state="fault", detail="limit"), at(4)))
    assert memory.finals == {}
    assert ledger.belt.lost == {"esp-1": "unplugged"}


def test_news_older_than_the_bag_do_not_concern_it(memory: Memory, ledger: BagLedger) -> None:
    memory.do(ledger.event(device(LOST, 2.5, device="tube"), at(4)))
    assert memory.finals == {}


def test_what_enters_while_nothing_can_be_scanned_is_unknown_and_the_return_brings_the_lane_back(
    memory: Memory, ledger: BagLedger
) -> None:
    memory.do(ledger.event(device(LOST, 4, device="tube", detail="unplugged"), at(4)))
    memory.do(ledger.event(leave("IN", 230 * MM, 4.5, 4), at(4.5)))
    memory.do(ledger.event(entry("B3", 300 * MM, 5, 5), at(5)))
    assert memory.finals["B3"].reason is Fault.DETECTOR_FAULT
    assert "generator is away" in memory.finals["B3"].detail
    memory.do(ledger.event(leave("B3", 380 * MM, 5.5, 6), at(5.5)))
    memory.do(ledger.event(device(FOUND, 6, device="tube"), at(6)))
    memory.do(ledger.event(beam(False, 6), at(6)))
    memory.do(ledger.event(entry("B4", 450 * MM, 6.5, 7), at(6.5)))
    assert "beam is off" in memory.finals["B4"].detail
    memory.do(ledger.event(leave("B4", 530 * MM, 6.8, 8), at(6.8)))
    memory.do(ledger.event(beam(True, 7), at(7)))
    assert ledger.belt.unfit == ""
    memory.do(ledger.event(entry("B5", 600 * MM, 8, 9), at(8)))
    memory.do(ledger.event(leave("B5", 680 * MM, 9, 10), at(9)))
    memory.do(ledger.assessment(assessment("B5"), at(9)))
    assert memory.finals["B5"].reason is None


def test_a_lane_that_nobody_told_of_its_tube_scans(memory: Memory) -> None:
    ledger = BagLedger(LIMITS, memory, at(0))
    memory.do(ledger.event(entry("B1", 0, 1), at(1)))
    assert memory.finals == {}
    assert BeltState().unfit == ""


def tube(state: str, **more: Any) -> DeviceState:
    return DeviceState(
        device="tube", present=True, state=state, facts={"interlock": "closed"} | more.pop("facts", {}), **more
    )


@pytest.mark.parametrize(
    ("order", "after", "because"),
    [
        ("", tube("ready"), CONNECTION),
        ("beam_off of me", tube("ready"), "beam_off of me"),
        ("", tube("fault", detail="arc: anode"), "arc: anode"),
        ("", tube("ready", facts={"interlock": "open"}), "the interlock of the generator was opened"),
    ],
)
def test_the_board_says_why_the_beam_is_down(order: str, after: DeviceState, because: str) -> None:
    board = Board({"tube": ("tube",)})
    board.found("tube", "firmware 1")
    assert not any(change.beam_lost for change in board.heard([tube("on")], 1))
    board.beam_ordered(order)
    (change,) = board.heard([after], 2)
    assert change.beam_lost
    assert change.event.beam_on is False
    assert board.beam_down_because == because
    assert board.heard([after], 3) == []
    board.beam_ordered("")
    board.heard([tube("on")], 4)
    assert board.beam_down_because == ""


def test_a_beam_that_was_on_when_the_bridge_ended_is_missed_by_the_next_one() -> None:
    (change,) = Board({"tube": ("tube",)}, beam_was_on=True).heard([tube("ready")], 1)
    assert change.beam_lost
    assert CONNECTION in change.event.detail


def test_axes_are_told_but_only_their_faults_are_remembered() -> None:
    board = Board({"esp-1": ("m1_x",)})
    states = [DeviceState(device="m1_x", present=True, state=s) for s in ("idle", "moving", "moving", "fault", "idle")]
    changes = [change for state in states for change in board.heard([state], 1)]
    assert [(c.event.state, c.remember) for c in changes] == [
        ("idle", False), ("moving", False), ("fault", True), ("idle", True),
    ]  # fmt: skip
    board.gone("esp-1", "unplugged")
    assert board.lost == {"esp-1": "unplugged"}
    (shown,) = board.snapshot({"m1_x": "move"}, {})
    assert (shown.present, shown.state, shown.busy) == (False, "lost", "move")


def test_the_stack_light_follows_the_lane_and_shows_silence() -> None:
    light = StackLight(100.0)
    assert light.due(100.0) == TABLE[""]
    assert light.due(100.1) is None
    for state in ("STARTING", "READY", "DEGRADED", "FAULT"):
        light.heard(LaneState.model_validate({"state": state}), 101.0)
        assert light.due(101.0) == TABLE[state]
        light.heard(LaneState.model_validate({"state": state}), 101.5)
        assert light.due(101.5) is None
    light.again()
    assert light.due(102.0) == TABLE["FAULT"]
    assert light.due(101.5 + SILENT_S + 0.1) == TABLE[""]
    red, _, green = TABLE["FAULT"]
    assert red
    assert not green
