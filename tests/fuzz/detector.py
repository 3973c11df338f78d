"""Detector stream: SPEAD packets through spead2 into our frames, and the order and account of frames."""

from __future__ import annotations

import atexit
import socket
from contextlib import suppress
from functools import lru_cache
from unittest import mock

import numpy as np
import spead2
import spead2.recv
import spead2.send

from firmware_bridge import detector_filter, detector_sequence
from firmware_bridge import detector_format as fmt
from firmware_bridge.detector import OPEN_HEAPS, REORDER_FRAMES, DetectorError, DetectorStream
from firmware_bridge.detector_sequence import Frame, FrameSequence
from tests.fuzz.portions import Portions

INSTRUMENT = ("firmware_bridge.detector", "firmware_bridge.detector_sequence")
ROWS = 1
#: Datagrams, or frames, of one input at most.
MAX_STEPS = 40
#: Lost frames remembered in place of 8192, so that an input can pass it.
REMEMBERED = 64


def parts(number: int, *, version: int = fmt.STREAM_VERSION, rows: int = ROWS) -> list[bytes]:
    """The SPEAD packets of one frame."""
    values = {
        fmt.FRAME_NUMBER: number,
        fmt.EXPOSURE_START: number,
        fmt.THRESHOLDS: [20_000, 50_000],
        fmt.VERSION: version,
    }
    group = spead2.send.ItemGroup(flavour=fmt.FLAVOUR)
    for spec in fmt.SCALARS:
        value = np.array(values.get(spec, 0), fmt.SCALAR_DTYPE)
        group.add_item(spec.id, spec.name, spec.description, spec.shape, dtype=value.dtype, value=value)
    counts = fmt.counts_spec(rows)
    zeros = np.zeros(counts.shape, fmt.COUNTS_DTYPE)
    group.add_item(counts.id, counts.name, counts.description, counts.shape, dtype=zeros.dtype, value=zeros)
    heap = group.get_heap(descriptors="none")
    return [bytes(part) for part in spead2.send.PacketGenerator(heap, number, 400)]


def claiming(packet: bytes, heap_bytes: int) -> bytes:
    """``packet`` with another length of its heap."""
    changed = bytearray(packet)
    for place in range(8, 8 + 8 * packet[7], 8):
        if packet[place : place + 2] == b"\x80\x02":
            changed[place + 2 : place + 8] = heap_bytes.to_bytes(6, "big")
    return bytes(changed)


def _datagrams(*packets: bytes) -> bytes:
    return b"\0" + b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


SEEDS = (
    _datagrams(*parts(5)),
    _datagrams(*parts(5), *parts(7), *parts(6)),
    _datagrams(*parts(5)[:-1], *parts(6), *parts(5, version=9), *parts(8, rows=2)),
    _datagrams(claiming(parts(5)[0], 1 << 40), *parts(6)),
    b"\1" + bytes([10, 1, 11, 1, 13, 1, 12, 0, 20, 1, 200, 1, 3, 2, 4, 1, 5, 3]),
)


@lru_cache(maxsize=1)
def _sockets() -> tuple[socket.socket, socket.socket]:
    """A socket with the readout's filter, and one that sends to it."""
    receiver, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(0)
    sender.connect(receiver.getsockname())
    for opened in (receiver, sender):
        atexit.register(opened.close)
    # Far less than the readout allows: reserving memory is what takes the time.
    assert detector_filter.attach(receiver, 16 << 10)
    return receiver, sender


def _filtered(script: Portions) -> bytes:
    """The datagrams that pass the filter, one behind the other."""
    receiver, sender = _sockets()
    passed = b""
    for _ in range(MAX_STEPS):
        if not script:
            break
        sender.send(script.take(int.from_bytes(script.take(2), "big")))
        with suppress(BlockingIOError):
            passed += receiver.recv(1 << 16)
    return passed


@lru_cache(maxsize=1)
def _pool() -> spead2.ThreadPool:
    return spead2.ThreadPool(1)


def one_input(data: bytes) -> None:
    """Packets as they come, or frame numbers to the account."""
    how, rest = data[:1], data[1:]
    if how and how[0] % 2:
        _account(Portions(rest))
    else:
        _packets(_filtered(Portions(rest)))


def _packets(data: bytes) -> None:
    stream = DetectorStream.__new__(DetectorStream)
    stream.rows, stream.port, stream._rejected = ROWS, 0, 0
    stream._sequence = FrameSequence(REORDER_FRAMES, fmt.counts_bytes(ROWS))
    received = spead2.recv.Stream(
        _pool(),
        spead2.recv.StreamConfig(max_heaps=OPEN_HEAPS, allow_unsized_heaps=False, allow_out_of_order=True),
        spead2.recv.RingStreamConfig(heaps=64, contiguous_only=False),
    )
    received.add_buffer_reader(data)
    for heap in received:
        with suppress(DetectorError):
            for frame in stream._take(heap):
                assert frame.counts.shape == (2, ROWS, 128)
                assert not frame.counts.flags.writeable


@mock.patch.object(detector_sequence, "REMEMBERED", REMEMBERED)
def _account(script: Portions) -> None:
    sequence = FrameSequence(REORDER_FRAMES, 1000)
    counts = np.zeros((2, 1, 128), np.uint16)
    out: list[int] = []
    came, now = set(), 1000
    for _ in range(MAX_STEPS):
        number, how = script.byte(), script.byte()
        number += (how >> 4) * 4 * REMEMBERED  # far ahead, beyond what is remembered
        now += 1 if how & 4 else 0
        restarts = sequence.counts.restarts
        if how & 3 == 0:
            ready = sequence.broken(number, 10)
        elif how & 3 == 3:
            ready = sequence.flush()
        else:
            came.add(number)
            ready = sequence.whole(Frame(number, now, 1, 0, 1, (1, 2), 0, counts))
        numbers = [frame.number for frame in ready]
        assert set(numbers) <= came, "a frame that never came"
        if sequence.counts.restarts == restarts:
            assert numbers == sorted(set(numbers)), "frames out of order"
            assert not out or not numbers or numbers[0] > out[-1], "a frame twice or late"
            out += numbers
        else:
            out = numbers[-1:]
    assert sequence.counts.frames + sequence.counts.lost_frames >= len(out)
