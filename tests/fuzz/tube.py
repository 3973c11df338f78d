"""X-ray generator: its decoder, the driver's reading of answers, and the emulated generator under any messages."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from firmware_bridge import tube_packets as wire
from firmware_bridge.emulator.tube_device import TubeDevice
from firmware_bridge.tube_link import TubeError, TubeLink
from firmware_bridge.tube_packets import Command, Decoder
from tests.fuzz.portions import Portions

INSTRUMENT = ("firmware_bridge.tube_packets", "firmware_bridge.tube_link", "firmware_bridge.emulator.tube_device")
_ALL = tuple(value for name, value in vars(Command).items() if name.isupper())

SEEDS = (
    b"\0" + wire.encode(Command.STATUS, *([0] * wire.FLAGS)),
    b"\1" + b"".join(bytes([len(body)]) + body for body in (b"70,1,", b"10,2000,", b"11,100,", b"98,1,", b"22,")),
    b"\1" + b"".join(bytes([len(body)]) + body for body in (b"31,", b"68,", b"19,", b"21,", b"28,", b"27,")),
    b"\2" + b"1,0," * 20,
    b"\2" + b"12.5,0,4095,",
)


def framed(body: bytes) -> bytes:
    """``body`` on the line with its right checksum."""
    return bytes([wire.STX]) + body + bytes([wire.checksum(body), wire.ETX])


def one_input(data: bytes) -> None:
    """Bytes as they come, messages with right checksums, or the arguments of an answer."""
    script = Portions(data)
    how = script.byte() % 3
    if how == 0:
        decoder = Decoder()
        while script:
            for message in decoder.feed(script.chunk()):
                assert Decoder().feed(wire.encode(message.command, *message.args)) == [message]
            assert len(decoder._buffer) <= wire.MAX_MESSAGE
    elif how == 1:
        _session(script)
    else:
        _answer(framed(b"22," + script.rest()))


def _session(script: Portions) -> None:
    device, decoder = TubeDevice(filament=True), Decoder()
    now_s = 0.0
    while script:
        now_s += 0.3
        decoder.feed(device.step(framed(script.chunk()), now_s))
        assert decoder.corrupt == 0, "the generator sends what its own decoder refuses"
        assert not (device.beam and not device.interlock_closed)
        if script.byte() == 7:
            device.inject(device.FAULTS[script.byte() % len(device.FAULTS)], script.byte() % 2)


class _Link(TubeLink):
    """The driver's side with a given answer in place of a port."""

    def __init__(self, args: tuple[str, ...]) -> None:
        self.path = Path("port")
        self._args = args

    def ask(self, command: str, *args: int, attempts: int = 1) -> tuple[str, ...]:
        """The given answer."""
        return self._args


def _answer(line: bytes) -> None:
    for message in Decoder().feed(line):
        link = _Link(message.args)
        with suppress(TubeError):
            link.bits(Command.STATUS, len(message.args))
        with suppress(TubeError):
            assert all(value >= 0 for value in link.numbers(Command.MONITORS, len(message.args)))
        with suppress(TubeError):
            link.set(Command.BEAM, 1)
