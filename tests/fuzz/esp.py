"""Newport ESP: the driver's reading of any answers, and the emulated controller under any commands."""

from __future__ import annotations

from contextlib import suppress

from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion.axis import AxisError
from firmware_bridge.motion.esp import EspAxis, EspController
from tests.fuzz.answers import AnyAnswers
from tests.fuzz.portions import Portions

INSTRUMENT = (
    "firmware_bridge.motion.esp",
    "firmware_bridge.motion.line",
    "firmware_bridge.emulator.esp_device",
    "firmware_bridge.emulator.axis_device",
)

SEEDS = (
    b"\0" + b"".join(bytes([len(text)]) + text for text in (b"1MO;1PA10;1WS50;1TP\r", b"TB?\r1OR1\r", b"1SN3;1SL?\r")),
    b"\0" + b"".join(bytes([len(text)]) + text for text in (b"1VA0.1\r", b"9PA1\r", b"1DH0;1PR-5\r", b"PH;TS;VE\r")),
    b"\1ESP300\r\n0\r\n0\r\n-500\r\n500\r\n0\r\n12.5\r\n1\r\n1H, 0H\r\n",
    b"\1ESP300\r\n103\r\n0\r\n0\r\n-5\r\n5\r\n0\r\n1e3\r\n0\r\n100H, 1H\r\n",
)


def one_input(data: bytes) -> None:
    """Commands to the emulated controller, or answers to the driver."""
    script = Portions(data)
    if script.byte() % 2:
        _driver(script.rest())
        return
    device, now_s = EspDevice(), 0.0
    while script:
        now_s += 0.1
        out = device.step(script.chunk(), now_s)
        assert out == b"" or out.endswith(b"\r\n")
        if script.byte() == 7:
            device.inject(device.FAULTS[script.byte() % len(device.FAULTS)], script.byte() % 2)


def _driver(answers: bytes) -> None:
    with suppress(AxisError), AnyAnswers(answers) as port:
        controller = EspController(port.path)
        with suppress(AxisError):
            axis = EspAxis(controller, 1)
            axis.status()
            axis.start_move(1.0)
            axis.start_home()
        controller.limit(2)
        controller.take_errors(1)
