"""What is special about one ESP axis opened by its port, as calibration uses it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.emulator.axis_device import Stage
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.emulator.pty_port import PtyPort
from firmware_bridge.motion import AxisError, EspAxis, LinkError
from tests.firmware_bridge.motion_lines import on_pty


@pytest.fixture
def stage() -> Stage:
    return Stage(velocity=2000.0)


@pytest.fixture
def path(tmp_path: Path, stage: Stage) -> Iterator[Path]:
    with on_pty(EspDevice({1: stage}), tmp_path / "esp-1") as link:
        yield link


def test_move_waits_until_the_axis_is_there(path: Path, stage: Stage) -> None:
    with EspAxis(path, 1) as axis:
        axis.move_to_um(37.125)
        assert stage.at_rest
        assert stage.position == pytest.approx(37.125)
        assert axis.position_um() == pytest.approx(37.125)
        axis.move_to_um(-5.0)
        assert axis.position_um() == pytest.approx(-5.0)


def test_position_outlives_the_driver(path: Path) -> None:
    with EspAxis(path, 1) as axis:
        axis.move_to_um(12.0)
    with EspAxis(path, 1) as axis:
        assert axis.position_um() == pytest.approx(12.0)


def test_soft_limits_are_the_controllers_when_none_are_given(path: Path) -> None:
    with EspAxis(path, 1) as axis:
        assert axis.limits() == (-500.0, 500.0)
        with pytest.raises(AxisError, match="axis 1: 501 um is outside its soft limits -500 to 500 um"):
            axis.move_to_um(501.0)


def test_motor_that_is_off_is_named(path: Path, stage: Stage) -> None:
    with EspAxis(path, 1) as axis:
        stage.power(False)
        with pytest.raises(AxisError, match=r"axis 1: motor not enabled \(error 113\); open the axis again") as error:
            axis.move_to_um(3.0)
        assert error.value.number == 113


def test_axis_that_does_not_exist(path: Path) -> None:
    with pytest.raises(AxisError, match=r"axis 7: axis number out of range \(error 9\)"):
        EspAxis(path, 7)
    with pytest.raises(AxisError, match=r"axis 2: motor or stage not connected \(error 208\)"):
        EspAxis(path, 2)


def test_absent_device(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"motion controller at .*nothing: cannot be opened"):
        EspAxis(tmp_path / "nothing", 1)


def test_silent_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.motion.line.ANSWER_S", 0.02)
    port = PtyPort(tmp_path / "dumb")
    with pytest.raises(AxisError, match=r"did not answer VE\? within 0.02 s; is it powered"):
        EspAxis(port.link, 1)
    port.close()
