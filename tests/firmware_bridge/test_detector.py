"""Packets on a real socket to whole frames: loss, duplicates, reordering, late packets, foreign data."""

import logging
import os
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import spead2
import spead2.send
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge import detector_format as fmt
from firmware_bridge import realtime
from firmware_bridge.detector import DetectorError, DetectorStream, Frame
from firmware_bridge.emulator.detector_device import DetectorDevice, Exposure
from firmware_bridge.emulator.faults import BadNetwork

ROWS = 16
HOST = "127.0.0.1"
#: Small packets: 6 to a frame.
PACKET = 1472


@dataclass(frozen=True)
class Faults:
    packet_loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    late: float = 0.0


def counts_of(number: int, rows: int = ROWS) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 2**16, (2, rows, 128), dtype=np.uint16)


def exposure(number: int) -> Exposure:
    return Exposure(number, 1_000_000 * number, 8_400_000, -5 + 98 * number, 93 + 98 * number, (20_000, 40_000))


def send(tx: DetectorDevice, numbers: range, faults: Faults | None = None, rows: int = ROWS) -> None:
    for number in numbers:
        buffer = tx.buffer()
        buffer[:] = counts_of(number, rows)
        tx.send(exposure(number), buffer, faults)


def receive_all(rx: DetectorStream, quiet_s: float = 0.6) -> list[Frame]:
    """Everything until nothing has come for ``quiet_s``, longer than frames are held for an earlier one."""
    frames: list[Frame] = []
    quiet_from = time.monotonic()
    while time.monotonic() - quiet_from < quiet_s:
        new = rx.receive(0.1)
        if new:
            quiet_from = time.monotonic()
            frames += new
    return frames


def receive_to(rx: DetectorStream, number: int) -> list[Frame]:
    """Everything up to frame ``number``."""
    frames: list[Frame] = []
    deadline = time.monotonic() + 20
    while not (frames and frames[-1].number >= number) and time.monotonic() < deadline:
        frames += rx.receive(0.5)
    return frames


@pytest.fixture
def rx() -> Iterator[DetectorStream]:
    with DetectorStream(HOST, 0, ROWS, buffer_mib=8, fifo_priority=0) as stream:
        yield stream


@pytest.fixture
def tx(rx: DetectorStream) -> Iterator[DetectorDevice]:
    with DetectorDevice(HOST, rx.port, ROWS, 500.0, seed=3, packet_bytes=PACKET) as device:
        yield device


def test_frames_arrive_whole_with_all_their_items(rx: DetectorStream, tx: DetectorDevice) -> None:
    send(tx, range(1000, 1040))
    frames = receive_to(rx, 1039)
    assert [f.number for f in frames] == list(range(1000, 1040))
    for f in frames:
        e = exposure(f.number)
        assert (f.t_ns, f.exposure_ns, f.encoder_start, f.encoder_stop) == (
            e.t_ns,
            e.exposure_ns,
            e.encoder_start,
            e.encoder_stop,
        )
        assert f.thresholds_ev == (20_000, 40_000)
        assert fmt.firmware_text(f.firmware) == "1.0.0"
        assert f.counts.dtype == np.uint16
        np.testing.assert_array_equal(f.counts, counts_of(f.number))
    stats = rx.stats
    assert (stats.frames, stats.lost_frames, stats.rejected, stats.kernel_drops) == (40, 0, 0, 0)


def test_counts_outlive_the_stream_and_cannot_be_written(rx: DetectorStream, tx: DetectorDevice) -> None:
    send(tx, range(3))
    frames = receive_to(rx, 2)
    rx.close()
    np.testing.assert_array_equal(frames[0].counts, counts_of(0))
    with pytest.raises(ValueError, match="read-only"):
        frames[0].counts[0, 0, 0] = 1


@pytest.mark.parametrize(
    "faults",
    [Faults(packet_loss=0.02), Faults(late=0.02), Faults(packet_loss=0.01, duplicate=0.1, reorder=0.2, late=0.01)],
)
def test_bad_network_loses_whole_frames_and_says_how_many(
    rx: DetectorStream, tx: DetectorDevice, faults: Faults
) -> None:
    send(tx, range(10))
    send(tx, range(10, 150), faults)
    send(tx, range(150, 190))
    frames = receive_to(rx, 189)
    assert [f.number for f in frames] == sorted({f.number for f in frames})
    for f in frames:
        np.testing.assert_array_equal(f.counts, counts_of(f.number))
    stats = rx.stats
    assert stats.frames == len(frames) < 190
    assert stats.frames + stats.lost_frames == 190
    assert stats.lost_packets >= stats.lost_frames >= stats.incomplete_frames > 0


def test_duplicates_and_reordering_alone_lose_nothing(rx: DetectorStream, tx: DetectorDevice) -> None:
    send(tx, range(5))
    send(tx, range(5, 100), Faults(duplicate=0.2, reorder=0.3))
    send(tx, range(100, 130))
    frames = receive_to(rx, 129)
    assert [f.number for f in frames] == list(range(130))
    assert rx.stats.lost_frames == 0


def packets_of(number: int) -> list[bytes]:
    """The packets of one frame, as the emulated detector would send them."""
    items = spead2.send.ItemGroup(flavour=fmt.FLAVOUR)
    spec = fmt.counts_spec(ROWS)
    items.add_item(spec.id, spec.name, spec.description, spec.shape, fmt.COUNTS_DTYPE, value=counts_of(number))
    e = exposure(number)
    values = (number, e.t_ns, e.exposure_ns, e.encoder_start, e.encoder_stop, e.thresholds_ev, 0, fmt.STREAM_VERSION)
    for scalar, value in zip(fmt.SCALARS, values, strict=True):
        items.add_item(
            scalar.id,
            scalar.name,
            scalar.description,
            scalar.shape,
            fmt.SCALAR_DTYPE,
            value=np.array(value, fmt.SCALAR_DTYPE),
        )
    return [bytes(p) for p in spead2.send.PacketGenerator(items.get_heap(descriptors="none"), number, PACKET)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    dropped=st.sets(st.tuples(st.integers(1, 10), st.integers(0, 5)), max_size=6),
    doubled=st.integers(0, 12),
    shift=st.integers(0, 12),
)
def test_any_schedule_of_packets(seed: int, dropped: set[tuple[int, int]], doubled: int, shift: int) -> None:
    """Whatever the network does within the reorder window: exactly the frames with all packets come out."""
    rng = random.Random(seed)  # noqa: S311
    total = 26  # frames 0 and 11..25 are untouched: they start the count and push out what is broken
    line: list[tuple[float, bytes]] = []
    for number in range(total):
        for k, packet in enumerate(packets_of(number)):
            if (number, k) in dropped:
                continue
            at = number * 6 + k + (rng.uniform(0, shift) if 0 < number < 11 else 0)
            line.append((at, packet))
            if 0 < number < 11 and doubled and rng.random() < doubled / 40:
                line.append((at + rng.uniform(0, 6), packet))
    broken = {number for number, _ in dropped}
    with (
        DetectorStream(HOST, 0, ROWS, buffer_mib=4, fifo_priority=0) as rx,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        for _, packet in sorted(line, key=lambda entry: entry[0]):
            sock.sendto(packet, (HOST, rx.port))
        frames = receive_to(rx, total - 1)
        assert [f.number for f in frames] == [n for n in range(total) if n not in broken]
        for f in frames:
            np.testing.assert_array_equal(f.counts, counts_of(f.number))
        assert rx.stats.lost_frames == len(broken)
        assert rx.stats.incomplete_frames == len(broken)


def test_frames_held_for_a_missing_one_go_on_when_the_stream_falls_silent(rx: DetectorStream) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in (0, 2, 3):
            for packet in packets_of(number):
                sock.sendto(packet, (HOST, rx.port))
        assert [f.number for f in receive_all(rx)] == [0, 2, 3]
    assert rx.stats.lost_frames == 1


def test_foreign_data_is_survived(rx: DetectorStream, tx: DetectorDevice) -> None:
    rng = random.Random(0)  # noqa: S311
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(200):
            sock.sendto(rng.randbytes(rng.randrange(1, 1500)), (HOST, rx.port))
        good = packets_of(0)[0]
        for _ in range(200):
            bad = bytearray(good)
            bad[rng.randrange(0, 100)] ^= 1 << rng.randrange(8)
            sock.sendto(bytes(bad), (HOST, rx.port))
    send(tx, range(100, 140))
    numbers = [f.number for f in receive_to(rx, 139)]
    assert numbers == list(range(100, 140))


def test_version_gate_names_both_versions(rx: DetectorStream) -> None:
    with DetectorDevice(HOST, rx.port, ROWS, 100.0, version=7) as device:
        send(device, range(1))
        with pytest.raises(DetectorError, match=r"firmware 1\.0\.0 sends stream version 7, this .* version 1"):
            receive_all(rx)


def test_wrong_number_of_rows_is_named(rx: DetectorStream) -> None:
    with DetectorDevice(HOST, rx.port, 2 * ROWS, 100.0) as device:
        send(device, range(1), rows=2 * ROWS)
        with pytest.raises(DetectorError, match="32 rows, the lane expects 16"):
            receive_all(rx)


def test_port_in_use_is_said(rx: DetectorStream) -> None:
    with pytest.raises(DetectorError, match=f"cannot listen on {HOST}:{rx.port}"):
        DetectorStream(HOST, rx.port, ROWS)


def test_kernel_drops_are_seen_although_no_frame_follows() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.bind((HOST, 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(100):
                sender.sendto(bytes(1000), silent.getsockname())
        assert realtime.udp_drops(silent) > 0


def test_refused_fifo_is_logged_plainly(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    with caplog.at_level(logging.WARNING), DetectorStream(HOST, 0, ROWS, buffer_mib=1, fifo_priority=20) as stream:
        assert not stream.fifo
    assert "SCHED_FIFO 20 refused" in caplog.text


def test_bad_network_is_reproducible_and_loses_nothing_it_was_not_asked_to() -> None:
    packets = [bytes([k]) for k in range(200)]
    faults = Faults(duplicate=0.1, reorder=0.5)

    def run() -> list[bytes]:
        network = BadNetwork(5)
        return network.carry(packets, faults) + network.advance(10_000)

    first = run()
    assert first == run()
    assert set(first) == set(packets)
    assert len(first) > len(packets)
    assert first != sorted(first)
