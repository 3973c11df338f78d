"""Geometry of the emulated belt, and its frame clock: no sockets, no real time."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge.emulator.clock import MAX_LAG_S, FrameClock
from firmware_bridge.emulator.plan import Faults, PlanItem
from firmware_bridge.emulator.render import PreparedScene
from firmware_bridge.emulator.world import RUN_OUT_MM, World
from firmware_bridge.scanner import Scanner

#: A busy machine is no reason to fail.
CALM = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Settings:
    bag_gap_mm: float = 30.0


SCANNER = Scanner(native_rows=64, belt_speed_mm_s=60.0, encoder_um=2.0)
SPAN_UM = max(SCANNER.column_offsets_um())


def scene(length_mm: float, margin_um: float = 300.0) -> PreparedScene:
    columns = round((length_mm * 1e3 + 2 * margin_um) / 75.0) + 1
    return PreparedScene(length_mm * 1e3, -margin_um, 75.0, np.zeros((2, columns, 4, 1), np.float32), {"objects": []})


def item(tag: str = "a", **faults: float) -> PlanItem:
    return PlanItem(kind="bag", seed=1, tag=tag, faults=Faults.model_validate(faults))


def test_travel_is_whole_frames_and_stands_with_the_belt() -> None:
    world = World(SCANNER, Settings())
    assert world.advance(False) == (0.0, 0.0)
    for n in range(1000):
        assert world.advance(True) == (n * SCANNER.step_um, (n + 1) * SCANNER.step_um)
    assert world.advance(False)[1] == world.travel_um


@CALM
@given(st.lists(st.floats(5.0, 80.0), min_size=1, max_size=4), st.integers(0, 300))
def test_bags_pass_in_order_with_their_gap(lengths: list[float], start: int) -> None:
    world = World(SCANNER, Settings())
    for _ in range(start):
        world.advance(True)
    placed = [world.place(item(str(k)), scene(length)) for k, length in enumerate(lengths)]
    assert placed[0].lead_um > world.travel_um + SCANNER.barrier_to_beam_mm * 1e3
    for before, after in pairwise(placed):
        assert after.lead_um - before.trail_um >= 30_000
    crossed = []
    while not world.run_out:
        travel = world.advance(True)[1]
        for kind, bag in world.crossings():
            crossed.append((kind, bag.item.tag))
            edge = bag.lead_um if kind == "entry" else bag.trail_um
            barrier_at = edge - SCANNER.barrier_to_beam_mm * 1e3
            # Reported in the frame in which the edge crosses the barrier (to one encoder count).
            assert -2 * SCANNER.encoder_um <= travel - barrier_at <= SCANNER.step_um + 2 * SCANNER.encoder_um
    assert crossed == [(kind, str(k)) for k in range(len(lengths)) for kind in ("entry", "exit")]
    assert world.travel_um >= placed[-1].ends_um + SPAN_UM + RUN_OUT_MM * 1e3
    assert world.segments() == []


def test_entry_event_gives_the_leading_edge_exactly() -> None:
    world = World(SCANNER, Settings())
    bag = world.place(item(), scene(50.0))
    assert bag.entry_encoder * SCANNER.encoder_um + SCANNER.barrier_to_beam_mm * 1e3 == bag.lead_um
    assert bag.exit_encoder * SCANNER.encoder_um + 30_000 == pytest.approx(bag.trail_um, abs=SCANNER.encoder_um)
    assert bag.truth()["u_to_um"] - bag.truth()["u_from_um"] == pytest.approx(50_000)


def test_room_opens_when_the_bag_has_entered() -> None:
    world = World(SCANNER, Settings())
    rooms = [world.room]
    bag = world.place(item(), scene(20.0))
    while bag.entry_encoder > world.encoder(world.travel_um):
        rooms.append(world.room)
        world.advance(True)
        world.crossings()
    rooms.append(world.room)
    assert rooms == [True, *[False] * (len(rooms) - 2), True]


def test_faults_and_silence_cover_the_bag_and_no_more() -> None:
    world = World(SCANNER, Settings())
    lossy = world.place(item("lossy", packet_loss=0.1), scene(40.0))
    cut = world.place(item("cut", truncate_at_mm=10.0), scene(40.0))
    lossy_at, silent_at = [], []
    while not world.run_out:
        start, stop = world.advance(True)
        world.crossings()
        if world.faults(start, stop) is not None:
            lossy_at.append(stop)
        if world.silent(start, stop):
            silent_at.append(stop)
    step = SCANNER.step_um
    assert lossy_at[0] == pytest.approx(lossy.lead_um, abs=step)
    assert lossy_at[-1] == pytest.approx(lossy.trail_um + SPAN_UM, abs=2 * step)
    assert silent_at[0] == pytest.approx(cut.lead_um + 10_000, abs=step)
    assert silent_at[-1] == pytest.approx(cut.trail_um + SPAN_UM, abs=2 * step)


def test_clock_keeps_its_rate_when_woken_late() -> None:
    clock = FrameClock(0.01, 100.0)
    for n in range(1, 50):
        clock.next(clock.due_s + 0.004)
        assert clock.start_s == pytest.approx(100.0 + n * 0.01)
    assert clock.slips == 0


def test_clock_catches_up_a_little_and_gives_up_a_lot() -> None:
    clock = FrameClock(0.01, 0.0)
    clock.next(0.1)
    assert clock.slips == 0
    assert clock.due_s == pytest.approx(0.02)
    clock.next(10.0)
    assert clock.slips == 1
    assert clock.due_s == pytest.approx(10.0)
    assert clock.slipped_s == pytest.approx(10.0 - 0.03)
    assert clock.slipped_s > MAX_LAG_S
