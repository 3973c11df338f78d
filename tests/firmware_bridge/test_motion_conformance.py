"""What every motion axis must do, on every controller: ours emulated by us, and one that others simulate."""

import math
import re
import time
from collections.abc import Iterator

import pytest

from firmware_bridge.motion import Axis, AxisError
from tests.firmware_bridge.motion_benches import BENCHES, Bench


@pytest.fixture(scope="module", params=BENCHES)
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    made = BENCHES[request.param](tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


@pytest.fixture(scope="module")
def axis(bench: Bench) -> Axis:
    return bench.open(bench.soft)


@pytest.fixture(autouse=True)
def rested(axis: Axis, bench: Bench) -> None:
    """Every test begins in the middle."""
    axis.stop()
    settle(axis)
    axis.move_to(bench.at(0.5))


def settle(axis: Axis) -> None:
    while axis.moving():
        time.sleep(0.005)


def test_move_and_read_back(axis: Axis, bench: Bench) -> None:
    for fraction in (0.54, 0.48):
        axis.move_to(bench.at(fraction), timeout_s=10.0)
        assert axis.position() == pytest.approx(bench.at(fraction), abs=2e-3)
        assert bench.truth() in (None, pytest.approx(bench.at(fraction), abs=2e-3))
        assert not axis.moving()


def test_status_is_that_of_a_resting_axis(axis: Axis, bench: Bench) -> None:
    status = axis.status()
    assert status.position == pytest.approx(bench.at(0.5), abs=2e-3)
    assert (status.moving, status.limit, status.error) == (False, "", "")
    assert axis.unit == bench.unit
    assert axis.limits() == bench.soft


def test_start_move_returns_while_the_axis_moves(axis: Axis, bench: Bench) -> None:
    axis.start_move(bench.at(1.0))
    assert axis.moving()
    assert axis.status().moving
    places = [axis.position()]
    while places[-1] <= places[0]:
        places.append(axis.position())
    assert bench.at(0.5) <= places[0]
    assert places[-1] < bench.at(1.0)


@pytest.mark.parametrize("fraction", [-0.01, 1.01, 50.0, math.inf, math.nan])
def test_soft_limits_refuse_before_anything_is_sent(axis: Axis, bench: Bench, fraction: float) -> None:
    low, high = bench.soft
    target = bench.at(fraction)
    with pytest.raises(AxisError, match="soft limits") as error:
        axis.start_move(target)
    for part in (f"{target:g} {bench.unit}", f"{low:g} to {high:g} {bench.unit}", "axis", "nothing was sent"):
        assert part in str(error.value)
    assert not axis.moving()
    assert axis.position() == pytest.approx(bench.at(0.5), abs=2e-3)


def test_edges_of_the_soft_limits_are_inside(axis: Axis, bench: Bench) -> None:
    for target in bench.soft:
        axis.start_move(target)
        axis.stop()
        settle(axis)


def test_stop_leaves_it_short(axis: Axis, bench: Bench) -> None:
    axis.start_move(bench.at(1.0))
    axis.stop()
    settle(axis)
    there = axis.position()
    assert bench.at(0.5) <= there < bench.at(1.0)
    assert axis.position() == there
    axis.stop()  # a second stop does no harm
    axis.move_to(bench.at(0.49))


def test_a_second_move_waits_for_the_first(axis: Axis, bench: Bench) -> None:
    axis.start_move(bench.at(1.0))
    with pytest.raises(AxisError, match="is moving"):
        axis.start_move(bench.at(0.0))
    assert axis.moving(), "the first goes on"


def test_an_axis_that_is_late_is_stopped(axis: Axis, bench: Bench) -> None:
    with pytest.raises(AxisError, match=re.escape(f"not at {bench.at(1.0):g} {bench.unit} after 0.01 s and stopped")):
        axis.move_to(bench.at(1.0), timeout_s=0.01)
    settle(axis)
    assert axis.position() < bench.at(1.0)


def test_home(axis: Axis, bench: Bench) -> None:
    axis.start_home()
    assert not axis.status().homed
    settle(axis)
    assert axis.status().homed
    axis.home(timeout_s=20.0)
    assert axis.status().homed
    assert axis.position() == pytest.approx(0.0, abs=2e-3)
    axis.move_to(0.05 * bench.at(1.0))
    axis.start_home()
    assert axis.moving()
    axis.stop()
    settle(axis)
    assert not axis.status().homed, "an interrupted search is none"
