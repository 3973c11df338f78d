"""Packets between the lane and the belt controller, the same bytes on both sides (docs/reference/belt-protocol.md).

On the line: COBS(header, payload, CRC-32) and a zero byte. The first three bytes (protocol, firmware major and minor)
and the CRC keep their place in every version from 2 on, so that two sides that do not understand each other can still
say so. Protocol 1 ended in a CRC-16, which lets one of 65 536 damaged packets pass: too many for a line that clears
bags.
"""

from __future__ import annotations

import binascii
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from cobs import cobs

PROTOCOL: Final = 2
#: Oldest controller firmware that speaks this protocol as this driver needs it.
OLDEST_FIRMWARE: Final = (2, 0)
#: One COBS group at most: keeps a controller's buffers small.
MAX_PACKET: Final = 250
#: Longer tags are cut, bytes of UTF-8.
MAX_TAG: Final = 128

#: Without a packet from the lane for this long the controller drops the clear line, s.
HEARTBEAT_TIMEOUT_S: Final = 2.0
#: The controller sends what was not acknowledged again after this time, s.
REPEAT_S: Final = 0.25
#: Events in flight without acknowledgement.
WINDOW: Final = 8
#: Encoder reports, the heartbeat of the controller, s.
ENCODER_PERIOD_S: Final = 0.2
#: Without a packet from the controller for this long the lane counts it as lost, s.
SILENCE_S: Final = 2.0
#: The belt is on and its encoder has stood for this long: the controller drops the clear line, s.
STALL_S: Final = 1.0
#: Longest clear-line window, µm of belt travel: one bag, never a stretch of belt.
MAX_CLEAR_UM: Final = 1_500_000

_HEADER = struct.Struct("<BBBBII")
_CRC = struct.Struct(">I")
#: Protocol 1 ended in this instead.
_OLD_PROTOCOL: Final = 1
_OLD_CRC = struct.Struct(">H")


class Kind(IntEnum):
    """What a packet is. Below 16: lane to controller (and its answers); from 16: events of the controller."""

    HELLO = 1
    WELCOME = 2
    ACK = 3
    HEARTBEAT = 4
    START = 5
    STOP = 6
    CLEAR_LINE = 7
    REPLY = 8
    RESET_ESTOP = 9
    SET_LIGHTS = 10
    BAG_ENTRY = 16
    BAG_EXIT = 17
    INTERLOCK = 18
    ENCODER = 19
    ESTOP = 20


class Light(IntFlag):
    """Lamps of the stack light in SET_LIGHTS and ENCODER."""

    RED = 1
    AMBER = 2
    GREEN = 4


#: Commands that are answered by REPLY and carried out once.
COMMANDS: Final = frozenset({Kind.START, Kind.STOP, Kind.CLEAR_LINE, Kind.RESET_ESTOP, Kind.SET_LIGHTS})
#: Events that are numbered, acknowledged, and repeated until they are.
EVENTS: Final = frozenset({Kind.BAG_ENTRY, Kind.BAG_EXIT, Kind.INTERLOCK, Kind.ESTOP})

#: Payloads: fixed part, and whether a UTF-8 text follows. What the controller reports begins with its time (µs since
#: it started) and its encoder.
_PAYLOADS: Final[dict[Kind, tuple[struct.Struct, bool]]] = {
    Kind.HELLO: (struct.Struct("<"), False),
    Kind.WELCOME: (struct.Struct("<I"), True),
    Kind.ACK: (struct.Struct("<I"), False),
    Kind.HEARTBEAT: (struct.Struct("<"), False),
    Kind.START: (struct.Struct("<"), False),
    Kind.STOP: (struct.Struct("<"), False),
    Kind.CLEAR_LINE: (struct.Struct("<Iqq"), False),
    Kind.REPLY: (struct.Struct("<?"), True),
    Kind.RESET_ESTOP: (struct.Struct("<"), False),
    Kind.SET_LIGHTS: (struct.Struct("<B"), False),
    Kind.BAG_ENTRY: (struct.Struct("<Qq"), True),
    Kind.BAG_EXIT: (struct.Struct("<Qq"), False),
    Kind.INTERLOCK: (struct.Struct("<Qq?"), False),
    Kind.ENCODER: (struct.Struct("<Qq?????BI"), False),
    Kind.ESTOP: (struct.Struct("<Qq??"), False),
}


class PacketError(ValueError):
    """A packet cannot be built, or its payload is not what its kind says."""


@dataclass(frozen=True)
class Packet:
    """One packet. ``seq`` numbers events or commands; ``boot`` changes whenever the sender starts.

    ``values`` holds the fixed part of the payload and then, where the kind has one, the text.
    """

    kind: int
    seq: int
    boot: int
    values: tuple[int | bool | str, ...] = ()
    protocol: int = PROTOCOL
    firmware: tuple[int, int] = OLDEST_FIRMWARE


def encode(packet: Packet) -> bytes:
    """Bytes of ``packet`` on the line; :class:`PacketError` names what does not fit."""
    fixed, has_text = _PAYLOADS[Kind(packet.kind)]
    values = packet.values
    text = b""
    try:
        if has_text:
            text = str(values[-1]).encode()
            values = values[:-1]
        body = fixed.pack(*values)
        header = _HEADER.pack(packet.protocol, *packet.firmware, packet.kind, packet.seq, packet.boot)
    except (struct.error, IndexError, TypeError) as error:
        raise PacketError(f"{Kind(packet.kind).name} cannot carry {packet.values!r:.80} ({error})") from error
    raw = header + body + text
    raw += _CRC.pack(zlib.crc32(raw))
    if len(raw) > MAX_PACKET:
        raise PacketError(f"{Kind(packet.kind).name}: {len(raw)} bytes are more than {MAX_PACKET}; shorten the text")
    return bytes(cobs.encode(raw)) + b"\0"


class Decoder:
    """Bytes in any portions to packets. Whatever fails a check is counted in ``corrupt`` and skipped.

    ``old``: those among the corrupt that look like packets of protocol 1. They serve the text of an error only: the
    CRC-16 at their end is too weak to believe more.
    """

    def __init__(self) -> None:
        self.corrupt = 0
        self.old = 0
        self._buffer = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> list[Packet]:
        """Packets completed by ``data``. Packets of another protocol come with empty ``values``."""
        packets: list[Packet] = []
        *complete, rest = data.split(b"\0")
        for part in complete:
            self._append(part)
            if self._skipping:
                self.corrupt += 1
            elif self._buffer:
                coded = bytes(self._buffer)
                packet = _parse(coded)
                if packet is None:
                    self.corrupt += 1
                    self.old += _is_old(coded)
                else:
                    packets.append(packet)
            self._buffer.clear()
            self._skipping = False
        self._append(rest)
        return packets

    def _append(self, part: bytes) -> None:
        self._buffer += part
        if len(self._buffer) > MAX_PACKET + 1:
            self._buffer.clear()
            self._skipping = True


def _parse(coded: bytes) -> Packet | None:
    try:
        raw = cobs.decode(coded)
    except cobs.DecodeError:
        return None
    if len(raw) < _HEADER.size + _CRC.size or zlib.crc32(raw[: -_CRC.size]) != _CRC.unpack(raw[-_CRC.size :])[0]:
        return None
    protocol, major, minor, kind, seq, boot = _HEADER.unpack_from(raw)
    if protocol != PROTOCOL:
        return Packet(kind, seq, boot, (), protocol, (major, minor))
    body = raw[_HEADER.size : -_CRC.size]
    try:
        fixed, has_text = _PAYLOADS[Kind(kind)]
        values: tuple[int | bool | str, ...] = fixed.unpack_from(body)
        if has_text:
            values += (body[fixed.size :].decode(),)
        packet = Packet(kind, seq, boot, values, protocol, (major, minor))
        # One packet has one form on the line: a flag of 2, or COBS groups that nobody makes, come from no encoder.
        return packet if encode(packet)[:-1] == coded else None
    except (ValueError, KeyError, struct.error):
        return None


def _is_old(coded: bytes) -> bool:
    try:
        raw = cobs.decode(coded)
    except cobs.DecodeError:
        return False
    if len(raw) < _HEADER.size + _OLD_CRC.size or raw[0] != _OLD_PROTOCOL:
        return False
    return bool(binascii.crc_hqx(raw[: -_OLD_CRC.size], 0xFFFF) == _OLD_CRC.unpack(raw[-_OLD_CRC.size :])[0])
