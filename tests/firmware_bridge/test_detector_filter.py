"""The filter before spead2: frames pass, claims of absurd heaps do not, and the stream goes on after them."""

import socket
import struct
from collections.abc import Iterator

import pytest

from firmware_bridge import detector_filter
from firmware_bridge.detector import DetectorStream
from tests.fuzz.detector import ROWS, claiming, parts


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A filtered socket, and one that sends to it."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(0)
        sender.connect(receiver.getsockname())
        assert detector_filter.attach(receiver)
        yield receiver, sender


def passes(pair: tuple[socket.socket, socket.socket], packet: bytes) -> bool:
    """Loopback delivers before send returns, so nothing needs to wait."""
    pair[1].send(packet)
    try:
        return pair[0].recv(65536) == packet
    except BlockingIOError:
        return False


def test_packets_of_frames_pass(pair: tuple[socket.socket, socket.socket]) -> None:
    assert all(passes(pair, packet) for packet in parts(5))
    assert all(passes(pair, packet) for packet in parts(5, rows=2048))


@pytest.mark.parametrize(
    ("length", "fits"),
    [
        (0, True),
        (detector_filter.MAX_HEAP_BYTES, True),
        (detector_filter.MAX_HEAP_BYTES + 1, False),
        (1 << 32, False),
        ((1 << 48) - 1, False),
    ],
)
def test_heap_length_decides(pair: tuple[socket.socket, socket.socket], length: int, fits: bool) -> None:
    assert passes(pair, claiming(parts(5)[0], length)) is fits


def test_second_heap_length_is_looked_at_too(pair: tuple[socket.socket, socket.socket]) -> None:
    packet = bytearray(parts(5)[0])
    last = 8 + 8 * (packet[7] - 1)
    packet[last : last + 8] = struct.pack(">Q", 0x8002 << 48 | 1 << 40)
    assert not passes(pair, bytes(packet))


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x53", b"hello there, this is not SPEAD", parts(5)[0][:30], b"\x53\x04\x02\x06\0\0\xff\xff" + bytes(4000)],
)
def test_what_is_no_packet_is_dropped(pair: tuple[socket.socket, socket.socket], packet: bytes) -> None:
    assert not passes(pair, packet)


def test_stream_survives_a_claim_of_more_than_there_is() -> None:
    with (
        DetectorStream("127.0.0.1", 0, ROWS, fifo_priority=0) as stream,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        sender.connect(("127.0.0.1", stream.port))
        for packet in (*parts(1), claiming(parts(2)[0], 1 << 46), *parts(3), *parts(4)):
            sender.send(packet)
        numbers: list[int] = []
        while len(numbers) < 3:
            frames = stream.receive(5.0)
            assert frames, f"the stream stands still after {numbers}"
            numbers += [frame.number for frame in frames]
        assert numbers == [1, 3, 4]
        assert stream.stats.kernel_drops == 1, "what the filter drops is counted"
