"""Axis driver against the emulated Newport ESP controller on a pseudo-terminal."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.emulator.axis_device import AxisDevice
from firmware_bridge.emulator.pty_port import PtyPort
from firmware_bridge.motion import AxisError, EspAxis, LinkError, describe


@pytest.fixture
def device() -> AxisDevice:
    return AxisDevice(velocity_um_s=2000.0)


@pytest.fixture
def path(tmp_path: Path, device: AxisDevice) -> Iterator[Path]:
    port = PtyPort(tmp_path / "esp-1")
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.001):
            port.write(device.step(port.read(), time.monotonic()))

    thread = threading.Thread(target=serve)
    thread.start()
    yield port.link
    stop.set()
    thread.join()
    port.close()


def test_move_waits_until_the_axis_is_there(path: Path, device: AxisDevice) -> None:
    with EspAxis(path, 1) as axis:
        axis.move_to_um(37.125)
        assert device.at_rest
        assert device.position_um == pytest.approx(37.125)
        assert axis.position_um() == pytest.approx(37.125)
        axis.move_to_um(-5.0)
        assert axis.position_um() == pytest.approx(-5.0)


def test_position_outlives_the_driver(path: Path) -> None:
    with EspAxis(path, 1) as axis:
        axis.move_to_um(12.0)
    with EspAxis(path, 1) as axis:
        assert axis.position_um() == pytest.approx(12.0)


@pytest.mark.parametrize(("target", "word"), [(501.0, "positive"), (-501.0, "negative")])
def test_limits_are_named_and_the_axis_stays(path: Path, target: float, word: str) -> None:
    with EspAxis(path, 1) as axis:
        assert axis.limits_um() == (-500.0, 500.0)
        with pytest.raises(AxisError, match=f"axis 1: beyond the {word} software limit"):
            axis.move_to_um(target)
        assert axis.position_um() == 0.0
        axis.move_to_um(1.0)


def test_motor_that_is_off_is_named(path: Path, device: AxisDevice) -> None:
    with EspAxis(path, 1) as axis:
        device.enabled = False
        with pytest.raises(AxisError, match="motor not enabled"):
            axis.move_to_um(3.0)


def test_axis_that_does_not_exist(path: Path) -> None:
    with pytest.raises(AxisError, match="axis number out of range"):
        EspAxis(path, 2)


def test_axis_that_never_arrives_is_stopped(path: Path, device: AxisDevice) -> None:
    with EspAxis(path, 1) as axis:
        device.velocity_um_s = 0.01
        with pytest.raises(AxisError, match=r"not at 400 µm after 0\.05 s"):
            axis.move_to_um(400, timeout_s=0.05)
        axis.position_um()
        assert device.at_rest


def test_errors_of_an_earlier_user_are_not_ours(path: Path, device: AxisDevice) -> None:
    device.step(b"1XX\r;1PA9\r", time.monotonic())
    with EspAxis(path, 1) as axis:
        axis.move_to_um(2.0)


def test_absent_device(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"motion controller at .*nothing: cannot be opened"):
        EspAxis(tmp_path / "nothing", 1)


def test_silent_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.motion.ANSWER_S", 0.02)
    port = PtyPort(tmp_path / "dumb")
    with pytest.raises(AxisError, match=r"did not answer TE\?"):
        EspAxis(port.link, 1)
    port.close()


def ask(device: AxisDevice, text: str) -> str:
    return device.step(text.encode() + b"\r", 0.0).decode()


def test_commands_as_the_manual_has_them() -> None:
    device = AxisDevice()
    assert ask(device, "1SN?") == "2\r\n", "millimetres at power-up"
    assert ask(device, "1MO;1PA0.1;1PA?;1MD?") == "0.1\r\n0\r\n"
    device.step(b"", 10.0)
    assert device.step(b"1TP\r1MD?\r1tp?\r", 10.0) == b"0.1\r\n1\r\n0.1\r\n"
    assert ask(device, "VE?").startswith("ESP300 Version")


@pytest.mark.parametrize(
    ("command", "code"),
    [("1ZZ1", 6), ("garbage", 6), ("PA1", 37), ("2PA1", 9), ("1PA", 38), ("1PAx", 6), ("1PA1", 113), ("1SN9", 101)],
)
def test_error_numbers(command: str, code: int) -> None:
    device = AxisDevice()
    assert ask(device, command) == ""
    assert ask(device, "TE?") == f"{code}\r\n"
    assert ask(device, "TE?") == "0\r\n"
    assert "unlisted" not in describe(code)


def test_endless_line_is_bounded() -> None:
    device = AxisDevice()
    for _ in range(100):
        device.step(b"1" * 1000, 0.0)
    assert len(device._line) <= 80
