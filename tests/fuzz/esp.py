"""Newport ESP: the driver with damaged answers, and the emulated controller under any commands."""

from __future__ import annotations

from contextlib import suppress

from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion.axis import AxisError
from firmware_bridge.motion.esp import EspAxis, EspController
from tests.fuzz.answers import DamagedAnswers
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
    b"\1",
    b"\1" + bytes([0] * 6 + [4] + [0] * 5 + [2, 3, 9] + [0] * 4 + [2, 0, 255]),
    b"\1" + bytes([0] * 5) + b"\1\x05104\r\n" + bytes(3) + b"\1\x05113\r\n\1\x0a100H, 1H\r\n\0\0\1\x071e999\r\n",
)


def one_input(data: bytes) -> None:
    """Commands to the emulated controller, or damaged answers to the driver."""
    script = Portions(data)
    if script.byte() % 2:
        _driver(script)
        return
    device, now_s = EspDevice(), 0.0
    while script:
        now_s += 0.1
        out = device.step(script.chunk(), now_s)
        assert out == b"" or out.endswith(b"\r\n")
        if script.byte() == 7:
            device.inject(device.FAULTS[script.byte() % len(device.FAULTS)], script.byte() % 2)


def _driver(script: Portions) -> None:
    with suppress(AxisError), DamagedAnswers(EspDevice(), script) as port:
        controller = EspController(port.path)
        axis = EspAxis(controller, 1)
        actions = (axis.status, lambda: axis.start_move(1.0), axis.stop, axis.start_home, axis.position, axis.moving)
        for _ in range(3):
            for action in actions:
                with suppress(AxisError):
                    action()
