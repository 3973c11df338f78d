"""One connection of the bridge: found again with patience, jobs that end one way or the other, silence noticed."""

from __future__ import annotations

import time

import pytest

from edge.bridge.jobs import LIMITS_S, Broken, Finished, Found, Heard, Lost, Note, Outcome, Spoke
from edge.bridge.link import KEEP_ALIVE_S, LONGEST_WAIT_S, LOOP_SILENT_S, MAX_BAD_LOOKS, DeviceLink
from edge.bridge.worker import Worker
from edge.messages import DeviceState
from tests.edge.bridge_fakes import Clock, FakeError, FakeHandler, VersionMismatch, job

STATE = Heard(states=(DeviceState(device="m1_x", present=True, state="idle"),))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def handler() -> FakeHandler:
    return FakeHandler()


@pytest.fixture
def link(handler: FakeHandler, clock: Clock) -> DeviceLink:
    return DeviceLink(handler, clock)


def finished(notes: list[Note]) -> list[tuple[bool, str]]:
    return [(note.outcome.ok, note.outcome.reason) for note in notes if isinstance(note, Finished)]


def run(link: DeviceLink, clock: Clock, seconds: float) -> list[Note]:
    notes: list[Note] = []
    for _ in range(round(seconds / 0.05)):
        clock.now += 0.05
        link.beat()
        for note in link.step():
            notes.append(note)
            if isinstance(note, Spoke):
                link.taken()
    return notes


def test_a_lost_device_is_said_once_and_found_again_with_patience(
    link: DeviceLink, handler: FakeHandler, clock: Clock
) -> None:
    assert [type(note) for note in link.step()] == [Found]
    handler.there = False
    handler.tries = 0
    lost = run(link, clock, 60.0)
    assert lost == [Lost("fake", "unplugged")]
    assert 60 / LONGEST_WAIT_S <= handler.tries <= 60 / LONGEST_WAIT_S + 6
    handler.there = True
    assert [type(note) for note in run(link, clock, LONGEST_WAIT_S + 0.1)] == [Found]


def test_a_hint_of_the_system_saves_the_wait(link: DeviceLink, handler: FakeHandler, clock: Clock) -> None:
    handler.there = False
    run(link, clock, 20.0)
    handler.there = True
    link.hint(None)
    assert [type(note) for note in link.step()] == [Found]
    link.hint("ttyACM0 was unplugged")
    # It is there, as far as it can be opened again at once.
    assert link.step()[0] == Lost("fake", "ttyACM0 was unplugged")
    assert "close" in handler.called


def test_another_protocol_version_is_not_waited_for(link: DeviceLink, handler: FakeHandler) -> None:
    handler.wrong = VersionMismatch("protocol 2, needs 1")
    (note,) = link.step()
    assert isinstance(note, Broken)
    assert "protocol 2" in str(note.error)


def test_jobs_end_at_once_or_later_or_never(link: DeviceLink, handler: FakeHandler, clock: Clock) -> None:
    link.step()
    link.submit(job("lights"))
    (ended,) = (note for note in link.step() if isinstance(note, Finished))
    assert ended.outcome.ok
    assert ended.outcome.states[0].device == "m1_x"
    handler.answer = None
    link.submit(job("move"))
    assert finished(run(link, clock, 5.0)) == []
    handler.later = Outcome(ok=True)
    assert finished(run(link, clock, 0.1)) == [(True, "")]
    handler.later = None
    link.submit(job("move"))
    (result,) = finished(run(link, clock, LIMITS_S["move"] + 0.2))
    assert result == (False, "move of m1_x was not done after 60 s; ended")
    assert "abort m1_x" in handler.called


def test_a_stop_ends_what_runs_and_leaves_other_axes_alone(
    link: DeviceLink, handler: FakeHandler, clock: Clock
) -> None:
    link.step()
    handler.answer = None
    link.submit(job("move", "m1_x"))
    link.submit(job("move", "m1_z", 2))
    run(link, clock, 0.5)
    handler.answer = Outcome(ok=True)
    link.submit(job("stop_motion", "m1_x", 3))
    assert finished(link.step()) == [(False, "move was ended by stop_motion of test"), (True, "")]
    assert finished(run(link, clock, 1.0)) == []
    handler.later = Outcome(ok=True)
    assert finished(run(link, clock, 0.1)) == [(True, "")]


def test_jobs_of_a_device_that_is_not_there_or_goes_fail_with_the_reason(
    link: DeviceLink, handler: FakeHandler, clock: Clock
) -> None:
    handler.there = False
    link.submit(job("move"))
    notes = link.step()
    assert finished(notes) == [(False, "move: m1_x is not there (unplugged)")]
    handler.there = True
    run(link, clock, 3.0)
    handler.answer = None
    link.submit(job("move"))
    run(link, clock, 0.1)
    handler.there = False
    assert finished(run(link, clock, 0.1)) == [(False, "m1_x was lost during move: unplugged")]
    handler.there = True
    run(link, clock, 3.0)
    handler.wrong = FakeError("limit switch")
    link.submit(job("move"))
    assert finished(link.step()) == [(False, "move: limit switch")]


def test_a_device_that_only_complains_is_lost_in_the_end(link: DeviceLink, handler: FakeHandler, clock: Clock) -> None:
    link.step()
    handler.wrong = FakeError("no answer")
    handler.called.clear()
    assert run(link, clock, 1.0)[0] == Lost("fake", "no answer")
    assert handler.called.count("poll") == MAX_BAD_LOOKS


def test_nothing_new_is_read_before_the_last_is_dealt_with(
    link: DeviceLink, handler: FakeHandler, clock: Clock
) -> None:
    handler.said = [STATE, STATE]
    assert [type(note) for note in link.step()] == [Found, Spoke]
    for _ in range(20):
        clock.now += 0.1
        link.beat()
        assert link.step() == []
    link.taken()
    assert [type(note) for note in link.step()] == [Spoke]


def test_a_device_hears_nothing_from_a_bridge_that_hangs(link: DeviceLink, handler: FakeHandler, clock: Clock) -> None:
    link.step()
    handler.called.clear()
    for _ in range(100):
        clock.now += 0.05
        link.step()
    assert 0 < handler.called.count("alive") <= LOOP_SILENT_S / KEEP_ALIVE_S + 1


def test_a_worker_ends_with_its_device_given_back_and_no_thread_left() -> None:
    handler = FakeHandler()
    notes: list[Note] = []
    worker = Worker(handler, notes.append)
    worker.start()
    assert worker.tried.wait(10)
    worker.submit(job("lights"))
    deadline = time.monotonic() + 10
    while not finished(notes):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert worker.stop()
    assert handler.called[-1] == "close"
