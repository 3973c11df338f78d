"""Belt controller: its decoder, the driver's order of events, and the emulated controller under any packets."""

from __future__ import annotations

import struct
import zlib

from cobs import cobs

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt_events import EventOrder
from firmware_bridge.belt_packets import Decoder, Kind, Light, Packet
from firmware_bridge.emulator.belt_device import BeltDevice
from tests.fuzz.portions import Portions

INSTRUMENT = (
    "firmware_bridge.belt_packets",
    "firmware_bridge.belt_events",
    "firmware_bridge.emulator.belt_device",
    "firmware_bridge.emulator.belt_machine",
)


def framed(raw: bytes) -> bytes:
    """``raw`` on the line with a right CRC: without it no fuzzer gets past the first check."""
    return bytes(cobs.encode(raw + struct.pack(">I", zlib.crc32(raw)))) + b"\0"


def _script(*packets: Packet) -> bytes:
    parts = []
    for packet in packets:
        raw = cobs.decode(wire.encode(packet)[:-1])[:-4]
        parts.append(bytes([0, len(raw)]) + raw)
    return b"\1" + b"".join(parts)


SEEDS = (
    b"\0" + wire.encode(Packet(Kind.BAG_ENTRY, 1, 2, (3, 4, "tag"))),
    _script(Packet(Kind.HELLO, 1, 7), Packet(Kind.START, 2, 7), Packet(Kind.CLEAR_LINE, 3, 7, (1, 0, 500))),
    _script(Packet(Kind.SET_LIGHTS, 1, 7, (int(Light.GREEN),)), Packet(Kind.ACK, 1, 7, (1,)), Packet(Kind.STOP, 4, 7)),
    _script(Packet(Kind.RESET_ESTOP, 5, 7), Packet(Kind.HEARTBEAT, 0, 7)),
    _script(
        Packet(Kind.WELCOME, 1, 1, (1, "n")), Packet(Kind.REPLY, 1, 1, (True, "")), Packet(Kind.BAG_EXIT, 1, 1, (0, 9))
    ),
    _script(Packet(Kind.INTERLOCK, 1, 1, (5, 6, False)), Packet(Kind.ESTOP, 2, 1, (5, 6, True, True))),
    _script(Packet(Kind.ENCODER, 2, 1, (5, 6, True, False, True, False, False, 1, 3))),
    b"\1\1\1\2\2\0\3\4\5\1\6\1\7\1\4\0\5\0\6\0",
)


def one_input(data: bytes) -> None:
    """Bytes as they come, or a script of packets with right CRCs and of what happens to the controller."""
    script = Portions(data)
    if script.byte() % 2:
        _session(script)
    else:
        _line(script)


def _line(script: Portions) -> None:
    decoder = Decoder()
    while script:
        part = script.chunk()
        _check(decoder.feed(part))
        assert len(decoder._buffer) <= wire.MAX_PACKET + 1, "the decoder keeps more than one packet"


def _check(packets: list[Packet]) -> None:
    for packet in packets:
        if packet.protocol == wire.PROTOCOL:
            assert Decoder().feed(wire.encode(packet)) == [packet]
        else:
            assert packet.values == ()


def _session(script: Portions) -> None:
    device = BeltDevice(encoder_um=1.0)
    device.boot = 1
    order = EventOrder()
    order.begin(1, 1)
    lane, answers = Decoder(), Decoder()
    now_s, heard_s = 0.0, -10.0
    while script:
        what = script.byte() % 8
        sent = b""
        if what == 0:
            sent = framed(script.chunk())
            packets = lane.feed(sent)
            _check(packets)
            if any(p.protocol == wire.PROTOCOL for p in packets):
                heard_s = now_s
            for packet in packets:
                if packet.protocol == wire.PROTOCOL and packet.kind in (*wire.EVENTS, Kind.ENCODER):
                    order.take(packet)
        elif what == 1:
            now_s += script.byte() / 64
        elif what == 2:
            device.encoder = device._true + script.byte() - 16
        elif what == 3:
            device.bag_entry(script.byte(), script.chunk().decode("utf-8", "replace"))
        else:
            fault = device.FAULTS[what - 4]
            device.inject(fault, script.byte() % 2)
        out = device.step(sent, now_s)
        for packet in answers.feed(out):
            assert packet.protocol == wire.PROTOCOL
            if packet.kind in (*wire.EVENTS, Kind.ENCODER):
                order.take(packet)
        assert answers.corrupt == 0, "the controller sends what its own decoder refuses"
        _invariants(device, now_s - heard_s)
        order.hand_out()


def _invariants(device: BeltDevice, silent_s: float) -> None:
    if device.clear_line:
        assert device.beam_permitted, "clear line on although a door is open or a stop in force"
        assert silent_s <= wire.HEARTBEAT_TIMEOUT_S, "clear line on although the lane is silent"
        assert any(start <= device.encoder < stop for start, stop in device.machine.windows)
    assert not (device.moving and not device.beam_permitted), "belt runs although it must not"
    assert all(0 < stop - start <= wire.MAX_CLEAR_UM for start, stop in device.machine.windows)
    if Light.GREEN in device.lights:
        assert device.beam_permitted
