"""Kohzu ARIES: the driver with damaged answers, and the emulated controller under any commands."""

from __future__ import annotations

from contextlib import suppress

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.motion.aries import AriesAxis, AriesController
from firmware_bridge.motion.axis import AxisError
from tests.fuzz.answers import DamagedAnswers
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
    b"\1",
    b"\1" + bytes([0] * 6 + [4] + [0] * 5 + [2, 3, 9] + [0] * 4 + [2, 0, 255]),
    b"\1" + bytes([0] * 8) + b"\1\x0cE\tSTR1\t304\r\n" + bytes(3) + b"\1\x0dW\tAPS1\t350\r\n\3\7E\tSYS\t6",
)


def one_input(data: bytes) -> None:
    """Commands to the emulated controller, or damaged answers to the driver."""
    script = Portions(data)
    if script.byte() % 2:
        _driver(script)
        return
    device, now_s = AriesDevice(), 0.0
    while script:
        now_s += 0.1
        out = device.step(script.chunk(), now_s)
        assert out == b"" or out.endswith(b"\r\n")
        if script.byte() == 7:
            device.inject(device.FAULTS[script.byte() % len(device.FAULTS)], script.byte() % 2)


def _driver(script: Portions) -> None:
    with suppress(AxisError), DamagedAnswers(AriesDevice(), script) as port:
        controller = AriesController(port.path)
        axis = AriesAxis(controller, 1, limits=(-10, 10), steps_per_unit=1000)
        actions = (axis.status, lambda: axis.start_move(1.0), axis.stop, axis.start_home, axis.position, axis.moving)
        for _ in range(3):
            for action in actions:
                with suppress(AxisError):
                    action()
