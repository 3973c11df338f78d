"""Drivers that others wrote drive our emulated controllers: PyMeasure's ESP300 and aries-controller."""

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import Stage, goniometer
from firmware_bridge.emulator.esp_device import EspDevice
from tests.firmware_bridge.motion_lines import on_pty, on_tcp

SPEED = 4000.0


@pytest.fixture
def esp_device() -> EspDevice:
    turn = goniometer()
    turn.closed_loop = True
    return EspDevice({1: Stage(velocity=SPEED, home_switch=-25.0), 2: Stage(velocity=SPEED), 3: turn})


@pytest.fixture
def esp(esp_device: EspDevice, tmp_path: Path) -> Iterator[Any]:
    adapters = pytest.importorskip("pymeasure.adapters")
    newport = pytest.importorskip("pymeasure.instruments.newport")
    with on_pty(esp_device, tmp_path / "esp-1") as link:
        adapter = adapters.SerialAdapter(
            str(link), baudrate=19_200, timeout=2.0, write_termination="\r", read_termination="\r\n"
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # its authors do not know whether an ESP300 speaks SCPI
            driver = newport.ESP300(adapter)
        yield driver
        adapter.close()


def test_pymeasure_moves_an_axis(esp: Any, esp_device: EspDevice) -> None:
    esp.clear_errors()
    esp.x.units = "micrometer"
    assert esp.x.units == "micrometer"
    esp.x.enable()
    assert esp.x.enabled
    esp.x.position = 40.0
    esp.x.wait_for_stop()
    assert esp.x.motion_done
    assert esp.x.position == pytest.approx(40.0)
    assert esp_device.positions()[1] == pytest.approx(40.0)
    assert esp.errors == []


def test_pymeasure_waits_with_the_controllers_own_command(esp: Any, esp_device: EspDevice) -> None:
    esp.y.enable()
    esp.y.position = 0.1  # mm at power-up
    esp.write("2WS20")
    assert esp.ask("2MD?").strip() == "1", "answered when the axis stands, not before"
    assert esp_device.positions()[2] == pytest.approx(100.0)


def test_pymeasure_turns_a_rotation(esp: Any, esp_device: EspDevice) -> None:
    esp.phi.units = "milliradian"
    esp.phi.enable()
    esp.phi.position = 0.5
    esp.phi.wait_for_stop()
    assert esp_device.positions()[3] == pytest.approx(0.5)
    esp.phi.units = "degree"
    assert esp.phi.position == pytest.approx(0.0286479, rel=1e-4)


def test_pymeasure_reads_and_sets_limits(esp: Any, esp_device: EspDevice) -> None:
    esp.x.units = "micrometer"
    esp.x.enable()
    assert (esp.x.left_limit, esp.x.right_limit) == (-500.0, 500.0)
    esp.x.right_limit = 30.0
    esp.x.position = 31.0
    assert [str(error) for error in esp.errors] == [
        "Newport ESP300 axis 1 reported the error: POSITIVE SOFTWARE LIMIT DETECTED"
    ]
    assert esp_device.positions()[1] == 0.0
    esp.x.right_limit = 900.0
    esp.x.position = 600.0
    esp.x.wait_for_stop()
    assert "POSITIVE HARDWARE LIMIT DETECTED" in str(esp.errors[0])
    assert esp.x.position == pytest.approx(550.0)


def test_pymeasure_reads_errors(esp: Any) -> None:
    esp.x.position = 1.0
    esp.write("1XX5")
    esp.write("PA3")
    assert [str(error).rpartition(": ")[2] for error in esp.errors] == [
        "MOTOR NOT ENABLED",
        "COMMAND DOES NOT EXIST",
        "AXIS NUMBER MISSING",
    ]
    assert esp.error == 0


def test_pymeasure_homes_and_zeroes(esp: Any, esp_device: EspDevice) -> None:
    esp.x.units = "micrometer"
    esp.x.enable()
    esp.x.home()
    esp.x.wait_for_stop()
    assert esp.x.position == pytest.approx(0.0)
    assert esp_device.positions()[1] == pytest.approx(-25.0), "the home switch is where the count begins"
    esp.x.position = 10.0
    esp.x.wait_for_stop()
    esp.x.define_position(3.0)
    assert esp.x.position == pytest.approx(3.0)
    esp.x.zero()
    assert esp.x.position == pytest.approx(0.0)
    esp.x.disable()
    assert not esp.x.enabled


@pytest.fixture
def aries_device() -> AriesDevice:
    def stage(home_switch: float = 0.0) -> Stage:
        return Stage(0.0, 60_000.0, (-45_000.0, 90_000.0), (-46_000.0, 91_000.0), home_switch, "um", False, True)

    return AriesDevice({1: stage(), 2: stage(), 3: stage(-200.0), 4: stage()}, steps_per_unit=1.0, serial=False)


@pytest.fixture
def aries(aries_device: AriesDevice) -> Iterator[Any]:
    pytest.importorskip("telnetlib", reason="aries-controller needs telnetlib, which Python 3.13 has no more")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # telnetlib, up to Python 3.12
        module = pytest.importorskip("aries")
    with on_tcp(aries_device) as (host, port):
        stage = module.Aries(host, port, timeout=5)
        yield stage
        stage.tn.close()


def settle(aries: Any) -> None:
    while not aries.is_stopped:
        time.sleep(0.01)


def test_aries_controller_moves_all_axes(aries: Any, aries_device: AriesDevice) -> None:
    assert aries.is_stopped
    aries.INTERVAL_TIME = 0.0
    aries.position = (1.0, 0.5, -2.0, -1.0)
    settle(aries)
    assert aries.position_by_pulse == (500, 500, -1000, -500)
    assert aries.position == (1.0, 0.5, 358.0, -1.0)
    assert aries_device.positions() == pytest.approx({1: 500.0, 2: 500.0, 3: -1000.0, 4: -500.0})


def test_aries_controller_homes_and_stops(aries: Any, aries_device: AriesDevice) -> None:
    assert aries.raw_command("ORG3/7/0") == "C\tORG3\r\n", "answered at the end of the search"
    assert aries.raw_command("ROG3") == "C\tROG3\t1\r\n"
    assert aries_device.positions()[3] == pytest.approx(-200.0)
    assert aries.position_by_pulse[2] == 0
    aries.raw_command("RPS1/5/40000/1")
    assert not aries.is_stopped
    aries.stop_all_stages()
    assert aries.is_stopped
    assert 0 <= aries.position_by_pulse[0] < 40_000
    aries.reset()
    settle(aries)
    assert aries.position_by_pulse == (0, 0, 0, 0)


def test_aries_controller_hears_of_limits_and_errors(aries: Any) -> None:
    assert aries.raw_command("APS1/5/-50000/0") == "E\tAPS1\t305\r\n", "the CCW limit switch"
    assert aries.position_by_pulse[0] == -46_000
    assert aries.raw_command("STR1") == "C\tSTR1\t0\t0\t2\t1\t0\t0\r\n"
    assert aries.raw_command("RPS1/5/-1/1") == "E\tRPS1\t305\r\n"
    assert aries.raw_command("RPS1/5/40000/1") == "C\tRPS1\r\n"
    assert aries.raw_command("APS1/5/0/1") == "E\tAPS1\t309\r\n"
    assert aries.raw_command("APS9/5/0/1") == "E\tAPS9\t120\r\n"
    assert aries.raw_command("APS2/5/0") == "E\tAPS2\t100\r\n"
    assert aries.raw_command("APS2/5/134217728/1") == "E\tAPS2\t310\r\n"
    assert aries.raw_command("JOG1") == "E\tJOG1\t4\r\n"
    aries.unlock_emergency_stop()
