"""Kohzu ARIES: the driver's reading of any answers, and the emulated controller under any commands."""

from __future__ import annotations

from contextlib import suppress

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.motion.aries import AriesAxis, AriesController
from firmware_bridge.motion.axis import AxisError
from tests.fuzz.answers import AnyAnswers
from tests.fuzz.portions import Portions

INSTRUMENT = (
    "firmware_bridge.motion.aries",
    "firmware_bridge.motion.line",
    "firmware_bridge.emulator.aries_device",
    "firmware_bridge.emulator.axis_device",
)

SEEDS = (
    b"\0" + b"".join(bytes([len(text)]) + text for text in (b"\x02ORG1/0/1\r\n", b"\x02STR1\r\n", b"\x02RDP1\r\n")),
    b"\0"
    + b"".join(bytes([len(text)]) + text for text in (b"\x02APS2/0/500/0\r\n", b"\x02STP2/0\r\n", b"\x02IDN\r\n")),
    b"\0"
    + b"".join(bytes([len(text)]) + text for text in (b"\x02WTB1/0/1/2/3/4/5\r\n", b"\x02RSY1/2\r\n", b"REM\r\n")),
    b"\1C\tIDN\tARIES\t1\r\nC\tIDN\tARIES\t1\r\nC\tRDP1\t7\r\nC\tSTR1\t0\t0\t0\t0\r\nC\tRDP1\t7\r\nC\tROG1\t1\r\n",
    b"\1C\tIDN\tARIES\t1\r\nE\tSYS\t6\r\nC\tIDN\tARIES\t1\r\nC\tRDP1\t7\r\nE\tSTR1\t120\r\n",
)


def one_input(data: bytes) -> None:
    """Commands to the emulated controller, or answers to the driver."""
    script = Portions(data)
    if script.byte() % 2:
        _driver(script.rest())
        return
    device, now_s = AriesDevice(), 0.0
    while script:
        now_s += 0.1
        out = device.step(script.chunk(), now_s)
        assert out == b"" or out.endswith(b"\r\n")
        if script.byte() == 7:
            device.inject(device.FAULTS[script.byte() % len(device.FAULTS)], script.byte() % 2)


def _driver(answers: bytes) -> None:
    with suppress(AxisError), AnyAnswers(answers) as port:
        controller = AriesController(port.path)
        with suppress(AxisError):
            axis = AriesAxis(controller, 1, limits=(-10, 10), steps_per_unit=1000)
            axis.status()
            axis.start_move(1.0)
            axis.start_home()
        controller.state(2, "axis")
        controller.stop([1, 2])
