"""A judge from elsewhere: PyMeasure's driver of Spellman's XRV generators drives our emulated one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serial

from firmware_bridge.emulator.tube_device import TubeDevice
from tests.firmware_bridge.tube_line import TubeLine

adapters = pytest.importorskip("pymeasure.adapters")
xrv = pytest.importorskip("pymeasure.instruments.spellmanhv.spellmanXRV")
constants = pytest.importorskip("pyvisa.constants")

INTERLOCKS = (
    xrv.StatusCode.INTERLOCK_1_CLOSED | xrv.StatusCode.INTERLOCK_2_CLOSED | xrv.StatusCode.INTERNAL_INTERLOCK_CLOSED
)
HOT = xrv.StatusCode.FILAMENT_ENABLED | xrv.StatusCode.POWER_SUPPLY_READY


class Line(serial.Serial):
    """A serial line that says it is one, as a VISA resource would."""

    interface_type = constants.InterfaceType.asrl


@pytest.fixture
def line(tmp_path: Path) -> Iterator[TubeLine]:
    with TubeLine(tmp_path / "tube", TubeDevice(warm_up_s=0.0, ramp_s=0.0)) as line:
        yield line


@pytest.fixture
def judge(line: TubeLine) -> Iterator[Any]:
    with Line(str(line.path), 9600, timeout=5.0) as port:
        adapter = adapters.SerialAdapter(port, write_termination="\x03", read_termination="\x03")
        yield xrv.SpellmanXRV(adapter, query_delay=0.0)


def test_it_reads_scaling_and_configuration(judge: Any) -> None:
    assert judge.scaling == {"voltage": 160_000, "current": 0.03, "polarity": 0}
    configuration = judge.configuration
    assert (configuration["max_kV"], configuration["max_mA"], configuration["watchdog_timer"]) == (160, 30, 10)
    assert judge.hv_on_timer == 1200.0
    assert judge.dsp == judge.fpga == ["EMULATED-XRV", 100]
    assert judge.temperature == pytest.approx(35.5, abs=0.1)
    assert set(judge.system_voltages) >= {"temperature", "anode", "lvps_pos"}


def test_it_switches_the_beam_on_and_off(judge: Any, line: TubeLine) -> None:
    assert judge.status == INTERLOCKS
    judge.voltage_setpoint, judge.current_setpoint = 80e3, 1e-3
    assert judge.voltage_setpoint == pytest.approx(80e3, abs=20)
    assert judge.current_setpoint == pytest.approx(1e-3, abs=4e-6)
    with pytest.raises(ValueError, match="got '!,4'"):
        judge.output_enabled = True
    judge.filament.enabled = True
    assert judge.status == INTERLOCKS | HOT
    judge.output_enabled = True
    assert judge.output_enabled
    assert judge.voltage == pytest.approx(80e3, abs=25)
    monitor = judge.analog_monitor
    assert monitor["voltage"] == pytest.approx(80e3, abs=25)
    assert monitor["current"] == pytest.approx(1e-3, abs=9e-6)
    judge.output_enabled = False
    assert not judge.output_enabled
    assert not line.device.beam


def test_it_sees_interlock_and_faults(judge: Any, line: TubeLine) -> None:
    judge.filament.enabled = True
    judge.output_enabled = True
    line.inject("interlock")
    assert judge.status == HOT
    line.inject("interlock", 0)
    assert judge.status == INTERLOCKS | HOT
    line.inject("arc")
    line.inject("over_temperature")
    assert judge.errors == xrv.ErrorCode.ANODE_ARC | xrv.ErrorCode.OVER_TEMP_ANODE
    assert xrv.StatusCode.POWER_SUPPLY_FAULT in judge.status
    line.inject("over_temperature", 0)
    judge.reset_errors()
    assert judge.errors == xrv.ErrorCode.NO_ERROR
    assert not judge.output_enabled


def test_its_other_settings_are_kept(judge: Any) -> None:
    judge.filament.limit, judge.filament.preheat = 367, 256
    assert (judge.filament.limit, judge.filament.preheat) == (367, 256)
    judge.power_limits = (3000, 1568)
    assert judge.power_limits == [3000, 1568]
    judge.filament.large_size_enabled = True
    judge.reset_hv_on_timer()
    assert judge.hv_on_timer == 0
    with pytest.raises(ValueError, match="not in range"):
        judge.voltage_setpoint = 161e3
