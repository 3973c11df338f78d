"""Order and bookkeeping of frames: nothing is delivered twice, out of order, or lost without being counted."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge.detector_sequence import REMEMBERED, Frame, FrameSequence

#: A busy machine is no reason to fail.
CALM = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
WINDOW = 4
BYTES = 1000
COUNTS = np.zeros((2, 1, 128), np.uint16)


def frame(number: int, t_ns: int | None = None) -> Frame:
    return Frame(number, number * 10 if t_ns is None else t_ns, 1, 0, 1, (20_000, 40_000), 0, COUNTS)


def sequence() -> FrameSequence:
    return FrameSequence(WINDOW, BYTES)


def feed(target: FrameSequence, *numbers: int) -> list[int]:
    return [f.number for n in numbers for f in target.whole(frame(n))]


def test_in_order_frames_pass_at_once() -> None:
    s = sequence()
    assert feed(s, 7, 8, 9) == [7, 8, 9]
    assert s.counts.lost_frames == 0


def test_swapped_frames_come_out_in_order() -> None:
    s = sequence()
    assert feed(s, 0, 2, 3, 1, 4) == [0, 1, 2, 3, 4]
    assert s.counts.lost_frames == 0


def test_missing_frame_is_given_up_after_the_window() -> None:
    s = sequence()
    assert feed(s, 0, 2, 3, 4) == [0]
    assert feed(s, 5) == [2, 3, 4, 5]
    assert (s.counts.lost_frames, s.counts.incomplete_frames, s.counts.lost_bytes) == (1, 0, BYTES)


def test_broken_frame_is_given_up_at_once() -> None:
    s = sequence()
    assert feed(s, 0, 2) == [0]
    assert [f.number for f in s.broken(1, 300)] == [2]
    assert (s.counts.lost_frames, s.counts.incomplete_frames, s.counts.lost_bytes) == (1, 1, 300)


def test_late_and_duplicate_are_told_apart() -> None:
    s = sequence()
    feed(s, 0, 2, 3, 4, 5)
    assert feed(s, 1) == []
    assert feed(s, 3) == []
    assert (s.counts.late, s.counts.duplicate, s.counts.lost_frames) == (1, 1, 1)


def test_parts_of_the_frame_in_which_we_joined_are_not_lost() -> None:
    s = sequence()
    assert s.broken(6, 10) == []
    feed(s, 7)
    s.broken(6, 10)
    assert (s.counts.lost_frames, s.counts.late, s.counts.duplicate) == (0, 0, 0)


def test_restarted_detector_goes_on_and_is_counted() -> None:
    s = sequence()
    feed(s, 500, 501, 503)
    got = [f.number for f in s.whole(frame(0, t_ns=10_000))]
    assert got == [503, 0]
    assert (s.counts.restarts, s.counts.lost_frames) == (1, 2)


def test_long_silence_is_one_step_and_all_of_it_is_counted() -> None:
    s = sequence()
    gap = 50 * REMEMBERED
    assert feed(s, 0, gap + 1) == [0]
    assert [f.number for f in s.flush()] == [gap + 1]
    assert s.counts.lost_frames == gap
    assert s.counts.lost_bytes == gap * BYTES


@CALM
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=120))
def test_every_schedule_is_delivered_in_order_and_accounted_for(schedule: list[tuple[int, bool]]) -> None:
    s = sequence()
    got: list[int] = []
    whole = broken = 0
    for number, complete in schedule:
        if complete:
            whole += 1
            got += [f.number for f in s.whole(frame(number))]
        else:
            broken += s._next is not None
            got += [f.number for f in s.broken(number, 100)]
    got += [f.number for f in s.flush()]
    assert got == sorted(set(got))
    assert s.counts.frames == len(got)
    if got:
        assert s.counts.lost_frames == got[-1] - got[0] + 1 - len(got)
        assert s.counts.incomplete_frames <= s.counts.lost_frames
        early = sum(complete and number < got[0] for number, complete in schedule)
        assert whole <= len(got) + s.counts.duplicate + s.counts.late + early
