"""The mechanics of an emulated stage."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.emulator.axis_device import Stage


def test_it_moves_with_its_speed() -> None:
    stage = Stage(velocity=100.0)
    stage.powered = True
    stage.move(10.0)
    stage.advance(0.04)
    assert stage.position == pytest.approx(4.0)
    assert not stage.at_rest
    stage.advance(0.07)
    assert stage.position == 10.0
    assert stage.at_rest


@pytest.mark.parametrize("start", [-300.0, -1.0, 0.0, 1.0, 300.0])
@pytest.mark.parametrize("closed_loop", [True, False])
def test_home_is_where_the_switch_changes(start: float, closed_loop: bool) -> None:
    stage = Stage(start, home_switch=12.5, closed_loop=closed_loop, powered=True)
    stage.find_home()
    for _ in range(3000):
        stage.advance(0.01)
    assert stage.homed
    assert stage.at_rest
    assert stage.position == pytest.approx(12.5)
    assert list(stage.events) == ["homed"]


def test_limit_switch_ends_the_motion_there() -> None:
    stage = Stage(powered=True)
    stage.move(900.0)
    stage.advance(10.0)
    assert (stage.position, stage.limit, list(stage.events)) == (550.0, "upper", ["upper"])
    stage.move(0.0)
    stage.advance(10.0)
    assert (stage.position, stage.limit) == (0.0, "")


def test_stuck_with_encoder_catches_up_and_without_loses_steps() -> None:
    for closed_loop, there in ((True, 8.0), (False, 3.0)):
        stage = Stage(velocity=1.0, closed_loop=closed_loop, powered=True)
        stage.inject("stuck")
        stage.move(5.0)
        stage.advance(10.0)
        assert stage.position == 0.0
        assert stage.at_rest is not closed_loop
        stage.inject("stuck", 0)
        stage.move(8.0)
        stage.advance(10.0)
        assert stage.position == pytest.approx(there)


def test_a_broken_drive_stays_off() -> None:
    stage = Stage(powered=True)
    stage.move(10.0)
    stage.inject("drive_fault")
    assert not stage.power(True)
    stage.advance(1.0)
    assert stage.position == 0.0
    stage.inject("drive_fault", 0)
    assert stage.power(True)


def test_unknown_fault() -> None:
    with pytest.raises(ValueError, match="fault 'rust': a stage knows stuck, limit, drive_fault"):
        Stage().inject("rust", 1.0)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("move"), st.floats(-1e3, 1e3)),
            st.tuples(st.just("wait"), st.floats(0, 3)),
            st.tuples(st.sampled_from(["home", "halt", "off", "on"]), st.just(0.0)),
            st.tuples(st.sampled_from(["stuck", "limit", "drive_fault"]), st.sampled_from([-1.0, 0.0, 1.0])),
        )
    ),
    st.booleans(),
)
def test_it_never_leaves_its_switches_and_jumps_no_farther_than_it_can(
    deeds: list[tuple[str, float]], closed_loop: bool
) -> None:
    stage = Stage(velocity=300.0, closed_loop=closed_loop, powered=True)
    for deed, value in deeds:
        before = stage.position
        behind = abs(stage.commanded - stage.position) if closed_loop else 0.0
        reach = 0.0
        if deed == "move":
            stage.move(value)
        elif deed == "wait":
            stage.advance(value)
            reach = 300.0 * value + behind
        elif deed == "home":
            stage.find_home()
        elif deed == "halt":
            stage.halt()
        elif deed in ("off", "on"):
            stage.power(deed == "on")
        else:
            stage.inject(deed, value)
        assert abs(stage.position - before) <= reach + 1e-9
        assert -550.0 - 1e-9 <= stage.position <= 550.0 + 1e-9
