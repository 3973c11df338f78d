"""The belt protocol on the line: what goes in comes out, and what is damaged does not."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge.belt_packets import _PAYLOADS, MAX_PACKET, Decoder, Kind, Packet, PacketError, encode

#: A busy machine is no reason to fail.
CALM = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
U32 = st.integers(0, 2**32 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
U64 = st.integers(0, 2**64 - 1)
TEXT = st.text(max_size=40)
FIELDS = {"Q": U64, "q": I64, "?": st.booleans(), "I": U32, "B": st.integers(0, 255)}


@st.composite
def packets(draw: st.DrawFn) -> Packet:
    kind = draw(st.sampled_from(list(Kind)))
    fixed, has_text = _PAYLOADS[kind]
    values = tuple(draw(FIELDS[code]) for code in fixed.format[1:])
    firmware = (draw(st.integers(0, 255)), draw(st.integers(0, 255)))
    return Packet(kind, draw(U32), draw(U32), (*values, draw(TEXT)) if has_text else values, firmware=firmware)


@CALM
@given(st.lists(packets(), max_size=8), st.lists(st.integers(1, 40), max_size=30))
def test_round_trip_in_any_portions(sent: list[Packet], portions: list[int]) -> None:
    data = b"".join(encode(p) for p in sent)
    decoder = Decoder()
    received = []
    for size in portions:
        received += decoder.feed(data[:size])
        data = data[size:]
    received += decoder.feed(data)
    assert received == sent
    assert decoder.corrupt == 0


@CALM
@given(packets())
def test_frames_hold_one_zero_at_their_end(packet: Packet) -> None:
    coded = encode(packet)
    assert coded.index(b"\0") == len(coded) - 1


@CALM
@given(packets(), st.data())
def test_no_damaged_packet_is_accepted(packet: Packet, data: st.DataObject) -> None:
    coded = bytearray(encode(packet))
    bits = data.draw(st.sets(st.integers(0, 8 * len(coded) - 9), min_size=1, max_size=4))
    for bit in bits:
        coded[bit // 8] ^= 1 << bit % 8
    decoder = Decoder()
    assert all(p == packet for p in decoder.feed(bytes(coded)))
    # The next whole packet gets through, whatever came before.
    assert decoder.feed(b"\0" + encode(packet))[-1] == packet


@CALM
@given(st.binary(max_size=2000))
def test_noise_neither_crashes_nor_passes(noise: bytes) -> None:
    decoder = Decoder()
    assert decoder.feed(noise) == []
    assert len(decoder._buffer) <= MAX_PACKET + 1


def test_endless_frame_is_skipped_and_counted_once() -> None:
    decoder = Decoder()
    for _ in range(100):
        assert decoder.feed(b"\x55" * 100) == []
    good = Packet(Kind.HEARTBEAT, 0, 1)
    assert decoder.feed(b"\0" + encode(good)) == [good]
    assert decoder.corrupt == 1


def test_packet_of_another_protocol_says_which() -> None:
    (packet,) = Decoder().feed(encode(Packet(Kind.WELCOME, 1, 2, (1, "future"), protocol=9, firmware=(4, 2))))
    assert (packet.protocol, packet.firmware, packet.values) == (9, (4, 2), ())


@pytest.mark.parametrize(
    "packet",
    [
        Packet(Kind.BAG_ENTRY, 1, 2, (0, 5, "x" * 300)),
        Packet(Kind.CLEAR_LINE, 1, 2, (5,)),
        Packet(Kind.CLEAR_LINE, -1, 2, (4, 5, 6)),
        Packet(Kind.BAG_EXIT, 1, 2, (0, 2**70)),
    ],
)
def test_what_does_not_fit_is_refused(packet: Packet) -> None:
    with pytest.raises(PacketError, match=Kind(packet.kind).name):
        encode(packet)
