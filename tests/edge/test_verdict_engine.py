"""The bag ledger, case by case: every bag one final verdict, identity doubts, restarts, late results."""

from __future__ import annotations

import math
from typing import Any

import pytest

from edge.messages import Decision, DeviceEvent, DeviceEventKind, Fault
from edge.verdict.memory import REMEMBERED_BAGS
from edge.verdict.orphans import MAX_ORPHANS
from tests.edge.verdict_scene import LIMITS, MM, THREAT, Memory, assessment, at, entry, interlock, leave, report


def summary(memory: Memory) -> dict[str, tuple[Decision, Fault | None]]:
    return {bag: (verdict.decision, verdict.reason) for bag, verdict in memory.finals.items()}


def scanned(memory: Memory, ledger: Any, bag: str = "A", encoder: int = 0, seq: int = 1) -> None:
    """One bag of 80 mm passes the barrier within a second."""
    memory.do(ledger.event(entry(bag, encoder, 0.1, seq), at(0.1)))
    memory.do(ledger.event(leave(bag, encoder + 80 * MM, 1.0, seq + 1), at(1.0)))


def test_clear_energises_the_line_only_while_the_bag_passes_the_diverter() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger, encoder=7)
    (verdict,) = memory.do(ledger.assessment(assessment("A"), at(2)))
    assert verdict.decision is Decision.CLEAR
    assert verdict.encoder_window == (7, 7 + 80 * MM)
    assert verdict.deadline_ns == at(10.1).wall
    assert verdict.latency_ms == pytest.approx(2000)
    diverter = LIMITS.diverter_counts
    assert memory.cleared == [("A", 7 + diverter, 7 + 80 * MM + diverter)]


def test_alarm_does_not_wait_for_the_trailing_edge_and_clear_does() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 0, 0.1), at(0.1)))
    assert memory.do(ledger.assessment(assessment("A"), at(1))) == []
    memory.do(ledger.event(leave("A", 80 * MM, 1.5), at(1.5)))
    memory.do(ledger.event(entry("B", 200 * MM, 2, 3), at(2)))
    memory.do(ledger.assessment(assessment("B", score=0.9, objects=(THREAT,)), at(3)))
    assert summary(memory) == {"A": (Decision.CLEAR, None), "B": (Decision.ALARM, None)}
    assert [bag for bag, _, _ in memory.cleared] == ["A"]


def test_a_clean_image_of_a_bag_whose_end_is_never_seen_is_not_cleared() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 0, 0.1), at(0.1)))
    memory.do(ledger.assessment(assessment("A"), at(1)))
    memory.do(ledger.tick(at(10.2)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.IDENTITY_DOUBT)}


def test_timeout_needs_nothing_but_the_clock_and_a_late_result_is_a_supplement() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    assert memory.do(ledger.tick(at(10.09))) == []
    memory.do(ledger.tick(at(10.1)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.TIMEOUT)}
    memory.do(ledger.assessment(assessment("A", seq=4, boot_id="x"), at(11)))
    memory.do(ledger.assessment(assessment("A", seq=4, boot_id="x"), at(12)))
    assert [(v.final, v.decision) for v in memory.supplements] == [(False, Decision.CLEAR)]
    assert memory.cleared == []


def test_a_result_that_comes_with_the_deadline_is_late() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    first, second = memory.do(ledger.assessment(assessment("A"), at(10.1)))
    assert (first.reason, first.final, second.final) == (Fault.TIMEOUT, True, False)


def test_the_deadline_is_also_a_place_on_the_belt() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger, encoder=100)
    memory.do(ledger.event(report(99 + LIMITS.diverter_counts, 2), at(2)))
    assert memory.finals == {}
    memory.do(ledger.event(report(100 + LIMITS.diverter_counts, 2.1), at(2.1)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.TIMEOUT)}


def test_the_deadline_counts_from_the_entry_even_when_the_event_comes_late_or_from_the_future() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 0, 1.0), at(6)))
    memory.do(ledger.event(leave("A", 80 * MM, 5.9), at(6)))
    memory.do(ledger.event(entry("B", 200 * MM, 500.0, 3), at(6)))
    memory.do(ledger.tick(at(11)))
    assert list(memory.finals) == ["A"]
    memory.do(ledger.tick(at(16)))
    assert list(memory.finals) == ["A", "B"]


def test_a_stepped_wall_clock_moves_no_deadline() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    hour_back = at(10.05)._replace(wall=at(-3600).wall)
    assert memory.do(ledger.tick(hour_back)) == []
    memory.do(ledger.tick(at(10.1)._replace(wall=at(-3600).wall)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.TIMEOUT)}


def test_repeated_events_and_a_second_report_of_the_same_entry_change_nothing() -> None:
    memory = Memory()
    ledger = memory.ledger()
    for _ in range(3):
        scanned(memory, ledger)
    memory.do(ledger.assessment(assessment("A"), at(2)))
    for _ in range(3):
        scanned(memory, ledger)
    assert summary(memory) == {"A": (Decision.CLEAR, None)}
    assert list(memory.entered) == ["A"]


def test_one_physical_entry_under_two_names_is_one_doubtful_bag() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 500, 0.1, 41), at(0.1)))
    memory.do(ledger.event(entry("A2", 500, 0.1, 41), at(0.2)))
    memory.do(ledger.assessment(assessment("A2"), at(1)))
    memory.do(ledger.tick(at(20)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.IDENTITY_DOUBT)}
    assert [v.bag_id for v in memory.supplements] == ["A"]


def test_two_bags_under_one_name_are_two_doubtful_bags() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    memory.do(ledger.event(entry("A", 200 * MM, 3, 3), at(3)))
    assert summary(memory) == {
        "A": (Decision.UNKNOWN, Fault.IDENTITY_DOUBT),
        "A.e200000": (Decision.UNKNOWN, Fault.IDENTITY_DOUBT),
    }


def test_two_bags_in_the_barrier_at_once_are_both_in_doubt() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 0, 0.1), at(0.1)))
    memory.do(ledger.event(entry("B", 50 * MM, 0.6), at(0.6)))
    assert summary(memory) == dict.fromkeys("AB", (Decision.UNKNOWN, Fault.IDENTITY_DOUBT))


@pytest.mark.parametrize("name", ["B", ""])
def test_a_bag_that_left_without_entering_is_in_doubt_and_so_is_the_one_in_the_barrier(name: str) -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 0, 0.1), at(0.1)))
    for _ in range(2):
        memory.do(ledger.event(leave(name, 50 * MM, 0.6), at(0.6)))
    expected = {"A", name or "unnamed.e50000"}
    assert summary(memory) == dict.fromkeys(expected, (Decision.UNKNOWN, Fault.IDENTITY_DOUBT))


def test_impossible_trailing_edges_are_in_doubt() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 100 * MM, 0.1), at(0.1)))
    memory.do(ledger.event(leave("A", 99 * MM, 0.2), at(0.2)))
    memory.do(ledger.event(entry("B", 200 * MM, 1, 3), at(1)))
    memory.do(ledger.event(leave("B", 250 * MM, 2, 4), at(2)))
    memory.do(ledger.event(leave("B", 260 * MM, 2, 5), at(2)))
    assert summary(memory) == dict.fromkeys("AB", (Decision.UNKNOWN, Fault.IDENTITY_DOUBT))


def test_a_bag_longer_than_allowed_is_oversize() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 0, 0.1), at(0.1)))
    memory.do(ledger.event(leave("A", 321 * MM, 5), at(5)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.OVERSIZE_BAG)}


def test_an_encoder_that_counts_back_puts_every_open_bag_in_doubt() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger, encoder=900 * MM)
    for encoder in (990 * MM, 986 * MM):
        memory.do(ledger.event(report(encoder, 2), at(2)))
    assert memory.finals == {}
    memory.do(ledger.event(report(10, 2), at(2)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.IDENTITY_DOUBT)}


def test_a_restarted_belt_controller_puts_the_bags_before_it_in_doubt_and_the_next_is_fine() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.event(entry("A", 900 * MM, 0.1), at(0.1)))
    found = DeviceEvent(kind=DeviceEventKind.DEVICE_FOUND, encoder=40, event_t_ns=at(0.5).wall)
    memory.do(ledger.event(found, at(0.5)))
    memory.do(ledger.event(entry("B", 60, 0.6, 1), at(0.6)))
    memory.do(ledger.event(leave("B", 60 + 80 * MM, 1.6, 2), at(1.6)))
    memory.do(ledger.assessment(assessment("B"), at(2)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.IDENTITY_DOUBT), "B": (Decision.CLEAR, None)}


def test_a_bag_that_was_scanned_but_never_entered_gets_its_verdict_too() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.assessment(assessment("A"), at(1)))
    memory.do(ledger.tick(at(3.9)))
    assert memory.finals == {}
    memory.do(ledger.tick(at(4)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.IDENTITY_DOUBT)}
    memory.do(ledger.event(entry("A", 0, 0.5), at(5)))
    assert list(memory.entered) == ["A"]


def test_an_assessment_that_overtakes_its_entry_event_waits_for_it() -> None:
    memory = Memory()
    ledger = memory.ledger()
    memory.do(ledger.assessment(assessment("A"), at(1.1)))
    scanned(memory, ledger)
    assert summary(memory) == {"A": (Decision.CLEAR, None)}


def test_assessments_of_strangers_cannot_fill_the_memory() -> None:
    memory = Memory()
    ledger = memory.ledger()
    for number in range(MAX_ORPHANS + 3):
        memory.do(ledger.assessment(assessment(f"X{number}"), at(1)))
    assert list(memory.finals) == ["X0", "X1", "X2"]


def test_an_open_interlock_spoils_the_bag_in_the_beam_and_nothing_older() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    memory.do(ledger.event(report(80 * MM + LIMITS.scan_tail_counts, 3), at(3)))
    memory.do(ledger.event(entry("B", 200 * MM, 4, 4), at(4)))
    memory.do(ledger.event(interlock(False, 3.5, seq=3), at(4.1)))
    assert memory.finals == {}
    memory.do(ledger.event(interlock(True, 4.2), at(4.2)))
    memory.do(ledger.event(interlock(False, 4.3), at(4.3)))
    assert summary(memory) == {"B": (Decision.UNKNOWN, Fault.USER_INTERRUPT)}
    memory.do(ledger.assessment(assessment("A"), at(4.5)))
    assert memory.finals["A"].reason is Fault.USER_INTERRUPT
    assert memory.cleared == []


def test_an_interlock_that_opens_after_the_clock_was_set_back_spoils_the_bag_all_the_same() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    hour_back = at(3)._replace(wall=at(-3597).wall)
    memory.do(ledger.event(interlock(False, -3597), hour_back))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.USER_INTERRUPT)}


def test_an_unreadable_assessment_is_a_failed_reconstruction_of_that_bag_only() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    memory.do(ledger.broken_assessment("", "?", at(2)))
    memory.do(ledger.broken_assessment("X", "?", at(2)))
    assert memory.finals == {}
    memory.do(ledger.broken_assessment("A", "score is text", at(2)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.FAILED_RECON)}
    assert memory.do(ledger.broken_assessment("A", "again", at(3))) == []


def test_an_assessment_of_nan_is_published_as_numbers_that_can_be_read() -> None:
    memory = Memory()
    ledger = memory.ledger()
    scanned(memory, ledger)
    (verdict,) = memory.do(ledger.assessment(assessment("A", score=math.nan, threshold=math.nan), at(2)))
    assert (verdict.reason, verdict.score) == (Fault.FAILED_RECON, 0.0)


def test_after_a_restart_a_bag_is_finished_if_its_assessment_comes_in_time() -> None:
    memory = Memory()
    scanned(memory, memory.ledger())
    ledger = memory.ledger(3.0)
    scanned(memory, ledger)
    memory.do(ledger.assessment(assessment("A"), at(4)))
    assert summary(memory) == {"A": (Decision.CLEAR, None)}


@pytest.mark.parametrize("restarted", [3.0, 15.0])
def test_after_a_restart_a_bag_without_assessment_is_unknown_by_its_old_deadline(restarted: float) -> None:
    memory = Memory()
    scanned(memory, memory.ledger())
    ledger = memory.ledger(restarted)
    memory.do(ledger.tick(at(10.1)))
    assert summary(memory) == {"A": (Decision.UNKNOWN, Fault.SERVICE_RESTART)}


def test_a_bag_that_entered_while_the_service_was_away_is_handled_as_any_other() -> None:
    memory = Memory()
    ledger = memory.ledger(5.0)
    scanned(memory, ledger)
    memory.do(ledger.event(entry("B", 200 * MM, 3, 3), at(5)))
    memory.do(ledger.assessment(assessment("A"), at(6)))
    memory.do(ledger.tick(at(13)))
    assert summary(memory) == {"A": (Decision.CLEAR, None), "B": (Decision.UNKNOWN, Fault.SERVICE_RESTART)}


def test_old_bags_are_forgotten_in_memory_and_still_known_from_the_journal() -> None:
    memory = Memory()
    ledger = memory.ledger()
    for number in range(REMEMBERED_BAGS + 5):
        start = number * 200 * MM
        memory.do(ledger.event(entry(f"N{number}", start, 1, 2 * number + 1), at(1)))
        memory.do(ledger.event(leave(f"N{number}", start + 80 * MM, 1, 2 * number + 2), at(1)))
        memory.do(ledger.assessment(assessment(f"N{number}"), at(1)))
    assert len(ledger._bags._decided) == REMEMBERED_BAGS
    memory.do(ledger.event(entry("N0", 0, 1, 1), at(2)))
    memory.do(ledger.assessment(assessment("N0", score=0.9, objects=(THREAT,)), at(2)))
    assert len(memory.finals) == REMEMBERED_BAGS + 5
    assert [(v.bag_id, v.decision) for v in memory.supplements] == [("N0", Decision.ALARM)]
