"""Readout engine: phase sums of every bag, whatever the belt, the stream and the events do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.messages import DeviceEvent, Fault
from edge.readout.engine import SILENCE_S
from tests.edge.readout_scene import (
    CONFIG,
    STEP_UM,
    FakeFrame,
    check_protocol,
    check_sums,
    drive,
    engine,
    entry,
    frames_at,
    leave,
    of,
)

BAG = [entry("a", 5.0), leave("a", 25.0)]
WHOLE_RUN = list(np.arange(0.0, 70e3, STEP_UM))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_phase_sums_equal_the_direct_evaluation(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**31), "seed")
    rng = np.random.default_rng(seed)
    length_a = data.draw(st.floats(1.0, 25.0), "length a, mm")
    gap = data.draw(st.floats(0.5, 30.0), "gap, mm")
    length_b = data.draw(st.floats(1.0, 25.0), "length b, mm")
    start_b = 3.0 + length_a + gap
    events = [entry("a", 3.0), leave("a", 3.0 + length_a), entry("b", start_b), leave("b", start_b + length_b)]
    steps = rng.uniform(0.75 * STEP_UM, 1.25 * STEP_UM, round((start_b + length_b + 32) * 1e3 / STEP_UM * 1.4))
    if data.draw(st.booleans(), "belt stands still for a while"):
        steps[len(steps) // 3 : len(steps) // 3 + 12] = 0
    frames = frames_at(list(np.cumsum(steps)), seed)
    lost = data.draw(st.sets(st.integers(1, len(frames) - 2), max_size=12), "lost frames")
    got = [frame for n, frame in enumerate(frames) if n not in lost]
    mask = (rng.random((2, CONFIG.scanner.rows, 128)) > 0.05).astype(np.uint8)
    cuts = list(rng.integers(1, len(got), data.draw(st.integers(0, 40), "portions")))

    slabs = drive(engine(mask), got, events, [*cuts, *range(0, len(got), 25)])
    for bag in ("a", "b"):
        own = of(slabs, bag)
        last = check_protocol(own)
        assert last.fault is None
        assert last.calibration_id == "cal-test"
        check_sums(own, got, mask)


def test_the_window_covers_the_bag_and_the_air_around_it() -> None:
    slabs = drive(engine(), frames_at(WHOLE_RUN), BAG, range(0, 200, 7))
    last = check_protocol(slabs)
    barrier_um = CONFIG.scanner.barrier_to_beam_mm * 1e3
    assert last.bag_from_um == 5e3 + barrier_um
    assert last.bag_to_um == 25e3 + barrier_um
    assert last.origin_um == last.bag_from_um - 2e3
    end = last.origin_um + (last.column0 + last.columns - 1) * last.grid_um
    assert 0 <= last.bag_to_um + 2e3 - end < last.grid_um
    # The leading slabs are on their way long before the bag has passed.
    assert slabs[0][0].frames < last.frames
    assert last.last_frame_t_ns > last.first_frame_t_ns > 0


def direct_lost(frames: list[FakeFrame], lost: set[int], first_um: float, last_um: float) -> int:
    return sum(first_um <= frames[n].travel_um <= last_um for n in lost)


@given(lost=st.sets(st.integers(1, len(WHOLE_RUN) - 2), max_size=40))
@settings(max_examples=40, deadline=None)
def test_lost_frames_are_those_of_the_bags_own_window(lost: set[int]) -> None:
    frames = frames_at(WHOLE_RUN)
    got = [frame for n, frame in enumerate(frames) if n not in lost]
    slabs = drive(engine(), got, BAG, range(0, len(got), 5))
    last = check_protocol(slabs)
    # u of the window's ends, seen by the columns at the detector's two edges.
    offsets = CONFIG.scanner.column_offsets_um()
    first_um = last.origin_um + min(offsets) - last.grid_um
    assert last.bag_to_um is not None
    last_um = last.bag_to_um + 2e3 + max(offsets) + last.grid_um
    touched = {n for n in range(len(frames)) if first_um <= frames[n].travel_um <= last_um}
    assert last.fault is None
    assert last.lost_frames == direct_lost(frames, lost, first_um, last_um)
    assert last.frames == len(touched - lost)


def test_a_pause_that_the_numbers_do_not_show_is_seen_on_the_belt() -> None:
    frames = frames_at([s for s in WHOLE_RUN if not 20e3 < s < 32e3])
    last = check_protocol(drive(engine(), frames, BAG, range(0, 200, 9)))
    assert last.lost_frames == 20  # between 19.8 and 32.4 mm


def test_a_detector_that_starts_again_costs_at_least_a_frame() -> None:
    frames = frames_at(WHOLE_RUN)
    frames = frames[:50] + [FakeFrame(n, 10**9 + n, 500, f.encoder_start, f.encoder_stop, f.counts)
                            for n, f in enumerate(frames[50:])]  # fmt: skip
    assert check_protocol(drive(engine(), frames, BAG, range(0, 200, 9))).lost_frames == 1


def belt(*speeds: tuple[float, float]) -> list[FakeFrame]:
    """Frames of a belt that goes (µm) at (fraction of its speed) for a while each."""
    steps = [fraction * STEP_UM for way_um, fraction in speeds for _ in range(round(way_um / abs(fraction) / STEP_UM))]
    return frames_at(list(np.cumsum(steps)))


@pytest.mark.parametrize(
    "frames",
    [
        belt((20e3, 1.0), (10e3, 0.5), (50e3, 1.0)),
        belt((20e3, 1.0), (10e3, 1.5), (50e3, 1.0)),
        belt((20e3, 1.0), (7e3, -0.5), (50e3, 1.0)),
    ],
)
def test_an_encoder_that_slips_leaves_no_bag_with_a_sure_place(frames: list[FakeFrame]) -> None:
    slabs = drive(engine(), frames, [*BAG, entry("b", 60.0, 3), leave("b", 65.0, 4)], range(0, len(frames), 7))
    assert check_protocol(of(slabs, "a")).fault is Fault.IDENTITY_DOUBT


@pytest.mark.parametrize("fraction", [0.75, 1.25])
def test_a_belt_may_be_a_little_slow_or_fast_and_may_stop_and_start(fraction: float) -> None:
    frames = belt((20e3, fraction), (1e3, 0.5), (30.0, 0.001), (1e3, 0.5), (50e3, fraction))
    last = check_protocol(drive(engine(), frames, BAG, range(0, len(frames), 7)))
    assert (last.fault, last.lost_frames) == (None, 0)


def test_a_bag_without_exit_ends_as_oversize() -> None:
    frames = frames_at(list(np.arange(0.0, 110e3, STEP_UM)))
    last = check_protocol(drive(engine(), frames, [entry("a", 5.0)], range(0, 300, 9)))
    assert last.fault is Fault.OVERSIZE_BAG
    assert last.bag_to_um is None
    # All that the longest allowed bag would have had was sent.
    assert last.column0 >= (60e3 + 4e3) / last.grid_um - 16


def test_a_bag_that_is_too_long_ends_as_oversize_at_its_exit() -> None:
    frames = frames_at(list(np.arange(0.0, 110e3, STEP_UM)))
    last = check_protocol(drive(engine(), frames, [entry("a", 5.0), leave("a", 66.0)], range(0, 300, 9)))
    assert last.fault is Fault.OVERSIZE_BAG
    assert last.bag_to_um == 78e3


@pytest.mark.parametrize("until_mm", [8.0, 20.0, 40.0])
def test_a_silent_detector_ends_the_bag_as_its_fault(until_mm: float) -> None:
    readout = engine()
    slabs = drive(readout, frames_at(list(np.arange(0.0, until_mm * 1e3, STEP_UM))), [entry("a", 5.0)], [4, 12])
    assert readout.on_tick(SILENCE_S * 0.9) == []
    slabs += readout.on_tick(SILENCE_S * 1.1)
    assert check_protocol(slabs).fault is Fault.DETECTOR_FAULT
    assert readout.open_bags == ()
    # It comes back: the given-up bag stays closed, the next one is fine.
    later = frames_at(list(np.arange(until_mm * 1e3, until_mm * 1e3 + 70e3, STEP_UM)))
    assert readout.on_event(leave("a", 25.0), 9.0) == []
    events = [entry("b", until_mm + 5), leave("b", until_mm + 15)]
    own = drive(readout, later, events, range(0, 200, 8))
    assert check_protocol(own).fault is None
    check_sums(own, later)


def test_a_bag_whose_first_columns_passed_unseen_is_given_up() -> None:
    frames = frames_at(list(np.arange(20e3, 80e3, STEP_UM)))
    # Readout started again: the events come back from the bridge, the first frame is too late for bag a.
    readout = engine()
    slabs = [*readout.on_event(entry("a", 5.0), 0.0), *readout.on_event(entry("b", 15.0), 0.0)]
    slabs += drive(readout, frames, [leave("b", 21.0)], range(0, 200, 8))
    assert check_protocol(of(slabs, "a")).fault is Fault.SERVICE_RESTART
    assert check_protocol(of(slabs, "b")).fault is None
    # The event came late while frames were running.
    late = readout.on_event(entry("c", 50.0), 0.0)
    assert check_protocol(late).fault is Fault.SERVICE_RESTART


def test_an_encoder_that_starts_again_ends_the_bags_before_it() -> None:
    readout = engine()
    slabs = drive(readout, frames_at(list(np.arange(60e3, 90e3, STEP_UM))), [entry("a", 65.0)], [10])
    fresh = frames_at(WHOLE_RUN)
    slabs += drive(readout, fresh, [entry("b", 5.0), leave("b", 12.0)], range(0, 200, 8))
    assert check_protocol(of(slabs, "a")).fault is Fault.IDENTITY_DOUBT
    own = of(slabs, "b")
    assert check_protocol(own).fault is None
    check_sums(own, fresh)


def test_repeated_and_foreign_events_change_nothing() -> None:
    readout = engine()
    readout.forget("old")
    events: list[DeviceEvent] = [entry("old", 5.0), BAG[0], BAG[0], BAG[1], BAG[1], leave("nobody", 30.0)]
    slabs = drive(readout, frames_at(WHOLE_RUN), events, range(0, 200, 9))
    assert {slab.bag_id for slab, _ in slabs} == {"a"}
    check_protocol(slabs)
    assert readout.on_event(BAG[0], 0.0) == []


def test_exits_that_never_come_do_not_pile_up_windows() -> None:
    readout = engine()
    readout.on_frames(frames_at([0.0]), 0, 0.0)
    given_up = [slab for n in range(20) for slab, _ in readout.on_event(entry(f"bag-{n}", 1.0 + n), 0.0)]
    assert {slab.fault for slab in given_up} == {Fault.IDENTITY_DOUBT}
    assert len(readout.open_bags) + len(given_up) == 20
    assert len(readout.open_bags) == 8


def test_abandoning_a_bag_names_the_reason_once() -> None:
    readout = engine()
    slabs = drive(readout, frames_at(WHOLE_RUN[:60]), [BAG[0]], [30])
    slabs += readout.abandon("a", Fault.DETECTOR_FAULT, "disk full")
    assert check_protocol(slabs).fault is Fault.DETECTOR_FAULT
    assert readout.abandon("a", Fault.DETECTOR_FAULT, "disk full") == []
