"""Messages of the x-ray generator: every decoder takes anything and accepts nothing that was damaged."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import tube_packets as wire
from firmware_bridge.emulator.tube_device import TubeDevice
from firmware_bridge.tube_packets import Decoder, Message, TubeMessageError, checksum, encode

COMMANDS = st.integers(0, 99).map("{:02d}".format)
ARGS = st.lists(st.text("0123456789ABCXYZ.$!+-", min_size=1, max_size=8), max_size=8)
MESSAGES = st.builds(lambda command, args: Message(command, tuple(args)), COMMANDS, ARGS)
#: Bytes as they come from a broken line: more often than not those that mean something.
NOISE = st.lists(st.one_of(st.sampled_from(b"\x02\x03,0189$!"), st.integers(0, 255)), max_size=200).map(bytes)


def portions(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:stop] for start, stop in pairwise(places)]


@given(st.lists(MESSAGES, max_size=5), st.lists(st.integers(0, 1000), max_size=6))
def test_round_trip_in_any_portions(messages: list[Message], cuts: list[int]) -> None:
    data = b"".join(encode(message.command, *message.args) for message in messages)
    decoder = Decoder()
    assert [message for part in portions(data, cuts) for message in decoder.feed(part)] == messages
    assert decoder.corrupt == 0


@given(NOISE)
def test_what_is_accepted_was_on_the_line_as_it_is(data: bytes) -> None:
    for message in Decoder().feed(data):
        assert encode(message.command, *message.args) in data


@given(NOISE, MESSAGES)
def test_a_message_after_noise_is_read(noise: bytes, message: Message) -> None:
    assert Decoder().feed(noise + encode(message.command, *message.args))[-1] == message


@given(MESSAGES, st.data())
def test_no_single_flipped_bit_passes(message: Message, data: st.DataObject) -> None:
    """Except one that ends the message early with a checksum that happens to fit; then it is another message."""
    sent = encode(message.command, *message.args)
    damaged = bytearray(sent)
    bit = data.draw(st.integers(0, 8 * len(sent) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    accepted = Decoder().feed(bytes(damaged))
    if damaged[bit // 8] not in (wire.STX, wire.ETX):
        assert accepted == []


@given(st.lists(NOISE, max_size=5))
def test_the_device_takes_anything_and_stays_off(received: list[bytes]) -> None:
    device, answers = TubeDevice(warm_up_s=0.0, filament=True), Decoder()
    for now, part in enumerate(received):
        answers.feed(device.step(part, float(now)))
    assert answers.corrupt == 0
    assert not device.beam or encode("98", 1) in b"".join(received)


@pytest.mark.parametrize(
    ("command", "args"),
    [("9", ()), ("098", ()), ("98", ("",)), ("98", ("a",)), ("98", ("1,0",)), ("98", ("é",)), ("10", ("9" * 130,))],
)
def test_what_is_no_message_is_refused(command: str, args: tuple[str, ...]) -> None:
    with pytest.raises(TubeMessageError, match="is no message"):
        encode(command, *args)


def test_too_long_without_an_end_is_dropped_and_the_next_one_read() -> None:
    decoder = Decoder()
    assert decoder.feed(b"\x02" + b"1" * 10_000) == []
    assert decoder.feed(encode("22")) == [Message("22")]
    assert decoder.corrupt == 1


def test_checksum_of_the_manuals_rule() -> None:
    assert chr(checksum(b"28,")) == "j"
    assert all(0x40 <= checksum(bytes([first, second])) <= 0x7F for first in range(256) for second in range(256))
