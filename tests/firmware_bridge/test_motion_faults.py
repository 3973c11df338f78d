"""Several axes on two controllers, and faults of the stages and controllers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import Stage
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion import AriesAxis, Axes, Axis, AxisError, EspAxis, LinkError, open_axes
from tests.firmware_bridge.motion_lines import on_pty, on_tcp

SPEED = 4000.0


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.motion.line.ANSWER_S", 0.2)


class Table:
    """Two controllers, three axes: x and z on one ESP, turn on an ARIES."""

    def __init__(self, esp: EspDevice, aries: AriesDevice, axes: Axes) -> None:
        self.esp, self.aries, self.axes = esp, aries, axes
        self.x, self.z, self.turn = axes["x"], axes["z"], axes["turn"]


@pytest.fixture
def table(tmp_path: Path) -> Iterator[Table]:
    esp = EspDevice({1: Stage(velocity=SPEED), 2: Stage(velocity=SPEED)})
    aries = AriesDevice(
        {3: Stage(0.0, 100.0, (-20.0, 20.0), (-25.0, 25.0), 1.0, "mrad", closed_loop=False, powered=True)}, serial=False
    )
    with on_pty(esp, tmp_path / "esp-1") as link, on_tcp(aries) as (host, port):
        tables = {
            "x": {"controller": "esp-1", "axis": 1, "unit": "um", "lower": -600, "upper": 600},
            "z": {"controller": "esp-1", "axis": 2, "unit": "um", "lower": -600, "upper": 600},
            "turn": {
                "controller": "aries", "axis": 3, "unit": "mrad", "lower": -20, "upper": 20, "steps_per_unit": 1000.0,
            },
        }  # fmt: skip
        controllers = {
            "esp-1": {"protocol": "esp", "port": str(link)},
            "aries": {"protocol": "aries", "port": f"tcp://{host}:{port}"},
            "spare": {"protocol": "esp", "port": "not opened"},
        }
        with open_axes(controllers, tables) as axes:
            yield Table(esp, aries, axes)


def test_axes_share_their_controllers_port(table: Table) -> None:
    table.x.start_move(300.0)
    table.turn.start_move(10.0)
    table.z.move_to(40.0)
    while table.x.moving() or table.turn.moving():
        pass
    assert table.esp.positions() == pytest.approx({1: 300.0, 2: 40.0})
    assert table.aries.positions() == pytest.approx({3: 10.0})


def test_an_error_reaches_the_axis_it_is_about(table: Table) -> None:
    table.esp.inject("drive_fault", axis=2)
    table.x.move_to(5.0)
    assert table.x.status().error == ""
    assert "axis 2 (z): amplifier fault (error 202); let it cool" in table.z.status().error
    with pytest.raises(AxisError, match=r"axis 2 \(z\): motor not enabled \(error 213\)"):
        table.z.start_move(5.0)
    with pytest.raises(AxisError, match="amplifier fault"):
        table.z.home()
    table.esp.inject("drive_fault", 0, axis=2)
    table.z.home()
    table.z.move_to(5.0)
    assert table.z.status().error == ""


@pytest.mark.parametrize(("sign", "word", "code"), [(1, "positive", 104), (-1, "negative", 105)])
def test_hardware_limit_of_an_esp_axis(table: Table, sign: int, word: str, code: int) -> None:
    table.esp._drives[1].limits = (-900.0, 900.0)
    with pytest.raises(AxisError, match=rf"axis 1 \(x\): {word} hardware limit switch hit \(error {code}\)"):
        table.x.move_to(sign * 599.0)
    status = table.x.status()
    assert status.limit == ("upper" if sign > 0 else "lower")
    assert status.position == pytest.approx(sign * 550.0)
    assert word in status.error
    table.x.move_to(0.0)
    assert table.x.status().limit == ""


@pytest.mark.parametrize(("value", "limit", "code"), [(1.0, "upper", 304), (-1.0, "lower", 305)])
def test_limit_switch_that_trips_alone(table: Table, value: float, limit: str, code: int) -> None:
    table.aries.inject("limit", value, axis=3)
    with pytest.raises(AxisError, match=rf"axis 3 \(turn\): .*\({limit}\) hardware limit switch hit \(error {code}\)"):
        table.turn.start_move(value)
    assert table.turn.status().limit == limit
    table.turn.move_to(-value)
    table.aries.inject("limit", 0, axis=3)
    assert table.turn.status().limit == ""


def test_alarm_of_an_aries_motor_driver(table: Table) -> None:
    table.turn.start_move(20.0)
    table.aries.inject("drive_fault", axis=3)
    assert not table.turn.moving()
    with pytest.raises(AxisError, match=r"motor is not excited \(error 308\); check the driver's power"):
        table.turn.move_to(1.0)
    table.aries.inject("drive_fault", 0, axis=3)
    table.turn.move_to(1.0)


def test_stuck_esp_axis_lags_and_is_switched_off(table: Table) -> None:
    table.esp.inject("stuck")
    with pytest.raises(AxisError, match=r"following error too large \(error 103\); check what blocks the stage"):
        table.x.move_to(300.0)
    assert table.esp.positions()[1] == 0.0


def test_stuck_esp_axis_on_a_short_way_never_arrives(table: Table) -> None:
    table.esp.inject("stuck")
    with pytest.raises(AxisError, match=r"not at 5 um after 0.05 s and stopped"):
        table.x.move_to(5.0, timeout_s=0.05)
    assert table.x.position() == 0.0


def test_stuck_goniometer_is_found_by_homing(table: Table) -> None:
    table.aries.inject("stuck", axis=3)
    table.turn.move_to(5.0)
    assert table.aries.positions()[3] == 0.0, "a stepper without encoder loses its steps unseen"
    with pytest.raises(AxisError, match=r"not home after 0\.1 s and stopped"):
        table.turn.home(timeout_s=0.1)
    assert not table.turn.status().homed
    table.aries.inject("stuck", 0, axis=3)
    table.turn.home()
    assert table.aries.positions()[3] == pytest.approx(1.0)
    assert table.turn.position() == 0.0


def test_stop_all_stops_all_and_then_names_the_dead_one(table: Table, impatient: None) -> None:
    for axis, target in ((table.x, 499.0), (table.z, 499.0), (table.turn, 19.0)):
        axis.start_move(target)
    table.axes.stop_all()
    assert not any(axis.moving() for axis in table.axes.values())
    table.x.start_move(-499.0)
    table.aries.inject("mute")
    with pytest.raises(AxisError, match=r"motion controller aries at tcp://.* did not answer STP3/0"):
        table.axes.stop_all()
    assert not table.x.moving()


def test_a_line_out_of_step_stops_first_and_asks_then(table: Table, impatient: None) -> None:
    table.aries._drives[3].tables[0][1] = 10_000  # slow
    table.turn.start_move(19.0)
    answer = table.aries.step

    def deaf(received: bytes, now_s: float) -> bytes:
        answer(received, now_s)
        return b""

    table.aries.step = deaf  # type: ignore[method-assign]
    with pytest.raises(AxisError, match="did not answer STR3"):
        table.turn.moving()
    with pytest.raises(AxisError, match="did not answer IDN"):
        table.turn.stop()
    table.aries.step = answer  # type: ignore[method-assign]
    assert not table.turn.moving()
    assert table.turn.position() < 19.0


def test_mute_controller_is_named_and_comes_back(table: Table, impatient: None) -> None:
    for device, axis in ((table.esp, table.x), (table.aries, table.turn)):
        before = axis.position()
        device.inject("mute")
        for _ in range(2):
            with pytest.raises(AxisError, match=r"motion controller .* did not answer"):
                axis.position()
        device.inject("mute", 0)
        assert axis.position() == before


def test_emergency_stop_that_an_aries_reports_unasked(table: Table) -> None:
    answer = table.aries.step

    def step(received: bytes, now_s: float) -> bytes:
        return (b"E\tSYS\t5\r\n" if received else b"") + answer(received, now_s)

    table.aries.step = step  # type: ignore[method-assign]
    assert table.turn.position() == 0.0
    assert "emergency stop (error 5); remove its cause" in table.turn.status().error
    table.aries.step = answer  # type: ignore[method-assign]
    table.turn.move_to(1.0)
    assert table.turn.status().error == ""


def test_what_open_axes_refuses(table: Table) -> None:
    axis = {"controller": "a", "axis": 1, "unit": "um", "lower": -1, "upper": 1}
    with pytest.raises(ValueError, match="controller 'a' of an axis is not among b"):
        open_axes({"b": {}}, {"x": axis})
    with pytest.raises(ValueError, match="protocol 'tango' of controller a: choose 'esp' or 'aries'"):
        open_axes({"a": {"protocol": "tango", "port": "x"}}, {"x": axis})
    with pytest.raises(LinkError, match="motion controller a at tcp://nowhere: the port must read tcp://host:number"):
        open_axes({"a": {"protocol": "aries", "port": "tcp://nowhere"}}, {"x": axis})
    with pytest.raises(LinkError, match=r"motion controller a at tcp://127\.0\.0\.1:1: cannot be reached"):
        open_axes({"a": {"protocol": "aries", "port": "tcp://127.0.0.1:1"}}, {"x": axis})
    assert isinstance(table.turn, AriesAxis)
    with pytest.raises(AxisError, match=r"axis 4: axis number out of range \(error 120\)"):
        AriesAxis(table.turn._controller, 4, limits=(0, 1), steps_per_unit=1.0)
    with pytest.raises(ValueError, match="steps_per_unit 0 of axis 3"):
        AriesAxis(table.turn._controller, 3, limits=(0, 1), steps_per_unit=0)
    unit: Axis = table.x
    assert isinstance(unit, EspAxis)
    with pytest.raises(ValueError, match="unit 'mm' of axis 1: choose one of um, mrad"):
        EspAxis(unit._controller, 1, unit="mm")
