"""Packets between the lane and the belt controller, the same bytes on both sides (docs/reference/belt-protocol.md).

On the line: COBS(header, payload, CRC-16) and a zero byte. The first three bytes (protocol, firmware major and minor)
and the CRC keep their place in every version, so that two sides that do not understand each other can still say so.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cobs import cobs

PROTOCOL: Final = 1
#: Oldest controller firmware that speaks this protocol as this driver needs it.
OLDEST_FIRMWARE: Final = (1, 0)
#: One COBS group at most: keeps a controller's buffers small.
MAX_PACKET: Final = 250
MAX_TAG: Final = 64

#: Without a packet from the lane for this long the controller drops the clear line, s.
HEARTBEAT_TIMEOUT_S: Final = 2.0
#: The controller sends what was not acknowledged again after this time, s.
REPEAT_S: Final = 0.25
#: Events in flight without acknowledgement.
WINDOW: Final = 8
#: Encoder reports, s.
ENCODER_PERIOD_S: Final = 0.2
#: Longest clear-line window, µm of belt travel: one bag, never a stretch of belt.
MAX_CLEAR_UM: Final = 1_500_000

_HEADER = struct.Struct("<BBBBII")
_CRC = struct.Struct(">H")


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
    BAG_ENTRY = 16
    BAG_EXIT = 17
    INTERLOCK = 18
    ENCODER = 19


#: Events that are numbered, acknowledged, and repeated until they are.
EVENTS: Final = frozenset({Kind.BAG_ENTRY, Kind.BAG_EXIT, Kind.INTERLOCK})

#: Payloads: fixed part, and whether a UTF-8 text follows.
_PAYLOADS: Final[dict[Kind, tuple[struct.Struct, bool]]] = {
    Kind.HELLO: (struct.Struct("<"), False),
    Kind.WELCOME: (struct.Struct("<I"), True),
    Kind.ACK: (struct.Struct("<I"), False),
    Kind.HEARTBEAT: (struct.Struct("<"), False),
    Kind.START: (struct.Struct("<"), False),
    Kind.STOP: (struct.Struct("<"), False),
    Kind.CLEAR_LINE: (struct.Struct("<qq"), False),
    Kind.REPLY: (struct.Struct("<?"), True),
    Kind.BAG_ENTRY: (struct.Struct("<q"), True),
    Kind.BAG_EXIT: (struct.Struct("<q"), False),
    Kind.INTERLOCK: (struct.Struct("<q?"), False),
    Kind.ENCODER: (struct.Struct("<q???I"), False),
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
    raw += _CRC.pack(binascii.crc_hqx(raw, 0xFFFF))
    if len(raw) > MAX_PACKET:
        raise PacketError(f"{Kind(packet.kind).name}: {len(raw)} bytes are more than {MAX_PACKET}; shorten the text")
    return bytes(cobs.encode(raw)) + b"\0"


class Decoder:
    """Bytes in any portions to packets. Whatever fails a check is counted in ``corrupt`` and skipped."""

    def __init__(self) -> None:
        self.corrupt = 0
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
                packet = _parse(bytes(self._buffer))
                if packet is None:
                    self.corrupt += 1
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
    if len(raw) < _HEADER.size + _CRC.size or binascii.crc_hqx(raw[:-2], 0xFFFF) != _CRC.unpack(raw[-2:])[0]:
        return None
    protocol, major, minor, kind, seq, boot = _HEADER.unpack_from(raw)
    values: tuple[int | bool | str, ...] = ()
    if protocol == PROTOCOL:
        body = raw[_HEADER.size : -_CRC.size]
        try:
            fixed, has_text = _PAYLOADS[Kind(kind)]
            values = fixed.unpack_from(body)
            text = body[fixed.size :]
            if has_text:
                values += (text.decode(),)
            elif text:
                return None
        except (ValueError, KeyError, struct.error):
            return None
    return Packet(kind, seq, boot, values, protocol, (major, minor))
