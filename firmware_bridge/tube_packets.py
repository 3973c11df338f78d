"""Messages between the lane and the x-ray generator, the same bytes on both sides (docs/reference/tube-protocol.md).

On the line: STX, two-digit command, its arguments, each part ended by a comma, one checksum character, ETX. The
checksum has six bits only; a strict character set closes the gap that it leaves for single flipped bits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

STX: Final = 0x02
ETX: Final = 0x03
#: Longest message, STX and ETX included: keeps both sides' buffers small.
MAX_MESSAGE: Final = 128
#: Full scale of set-points and monitors. A set-point's full scale is the generator's maximum; a monitor's is 20 % more.
COUNTS: Final = 4095
MONITOR_RANGE: Final = 1.2
#: The answer to a command that was carried out, and the first argument of one that was not.
DONE: Final = "$"
REFUSED: Final = "!"

#: No lower-case letter, so that a flipped bit 6, which the checksum does not see, never makes another valid character.
_BODY: Final = re.compile(rb"([0-9]{2}),((?:[0-9A-Z.$!+-]+,)*)")


class Command:
    """Two-digit command numbers of the subset in use."""

    SET_KV: Final = "10"
    SET_MA: Final = "11"
    GET_KV_SET: Final = "14"
    GET_MA_SET: Final = "15"
    MONITORS: Final = "19"
    HOURS: Final = "21"
    STATUS: Final = "22"
    FIRMWARE: Final = "23"
    CONFIGURATION: Final = "27"
    SCALING: Final = "28"
    RESET_FAULTS: Final = "31"
    FAULTS: Final = "68"
    FILAMENT: Final = "70"
    BEAM: Final = "98"


class Flag(IntEnum):
    """Place of each flag in the answer to STATUS."""

    BEAM = 0
    INTERLOCK_1 = 1
    INTERLOCK_2 = 2
    EMISSION_CONTROL = 3
    FAULT = 4
    LOCAL = 5
    FILAMENT = 6
    LARGE_FILAMENT = 7
    BEAM_IMMINENT = 8
    READY = 15
    INTERNAL_INTERLOCK = 16


#: Number of flags in the answer to STATUS.
FLAGS: Final = 17
#: All of these must be closed.
INTERLOCKS: Final = (Flag.INTERLOCK_1, Flag.INTERLOCK_2, Flag.INTERNAL_INTERLOCK)

#: Meaning of each flag in the answer to FAULTS, in its order.
FAULT_TEXTS: Final = (
    "filament: selection",
    "over-temperature: close to the limit",
    "over-voltage",
    "under-voltage",
    "over-current",
    "under-current",
    "over-temperature: anode",
    "over-temperature: cathode",
    "inverter: anode",
    "inverter: cathode",
    "filament: feedback",
    "arc: anode",
    "arc: cathode",
    "cable: anode",
    "cable: cathode",
    "mains: anode",
    "mains: cathode",
    "dc rail: anode",
    "dc rail: cathode",
    "supply: -15 V",
    "supply: +15 V",
    "watchdog: no message from the lane in time",
    "over-temperature: board",
    "over-power",
    "kV differs between monitors",
    "mA differs between monitors",
    "inverter: not ready",
)


class TubeMessageError(ValueError):
    """A message cannot be built."""


@dataclass(frozen=True)
class Message:
    """One message: ``command`` is two digits; an answer repeats the command that it answers."""

    command: str
    args: tuple[str, ...] = ()


def checksum(body: bytes) -> int:
    """Checksum character of ``body`` (command to last comma): negated sum, bit 7 cleared, bit 6 set."""
    return (-sum(body) & 0x7F) | 0x40


def encode(command: str, *args: str | int) -> bytes:
    """Bytes of one message on the line; :class:`TubeMessageError` names what does not fit."""
    parts = [str(part) for part in (command, *args)]
    body = "".join(f"{part}," for part in parts).encode("ascii", "replace")
    if _BODY.fullmatch(body) is None or body.count(b",") != len(parts) or len(body) > MAX_MESSAGE - 3:
        raise TubeMessageError(f"x-ray generator: {body!r:.80} is no message; two digits, then 0-9 A-Z . $ ! + -")
    return bytes([STX]) + body + bytes([checksum(body), ETX])


class Decoder:
    """Bytes in any portions to messages. Whatever fails a check is counted in ``corrupt`` and skipped."""

    def __init__(self) -> None:
        self.corrupt = 0
        self._buffer = bytearray()
        self._inside = False

    def feed(self, data: bytes) -> list[Message]:
        """Messages completed by ``data``; a new STX ends a half message that lacks its end."""
        messages: list[Message] = []
        for byte in data:
            if byte == STX:
                self.corrupt += self._inside
                self._inside = True
                self._buffer.clear()
            elif self._inside and byte == ETX:
                self._inside = False
                message = _parse(bytes(self._buffer))
                if message is None:
                    self.corrupt += 1
                else:
                    messages.append(message)
            elif self._inside:
                self._buffer.append(byte)
                if len(self._buffer) > MAX_MESSAGE - 2:
                    self.corrupt += 1
                    self._inside = False
        return messages


def _parse(inner: bytes) -> Message | None:
    body, last = inner[:-1], inner[-1:]
    match = _BODY.fullmatch(body)
    if match is None or last != bytes([checksum(body)]):
        return None
    args = match[2].decode("ascii").split(",")[:-1]
    return Message(match[1].decode("ascii"), tuple(args))
