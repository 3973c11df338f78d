"""Lines that fail: pseudo-terminals and TCP ports that are pulled out, noisy or cut what they carry."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from firmware_bridge.emulator.faults import BadNetwork, StreamFaults
from firmware_bridge.emulator.faulty_port import NOISE_BYTES, FaultyPort
from firmware_bridge.emulator.pty_port import PtyPort
from firmware_bridge.emulator.tcp_port import TcpPort


class Tape:
    """A port that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.incoming = b""

    @property
    def fds(self) -> tuple[int, ...]:
        return (0,)

    def read(self) -> bytes:
        data, self.incoming = self.incoming, b""
        return data

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def close(self) -> None:
        pass


def test_an_unplugged_line_is_gone_and_comes_back_as_a_new_one(tmp_path: Path) -> None:
    link = tmp_path / "belt"
    port = FaultyPort(partial(PtyPort, link))
    driver = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    port.inject("unplug")
    assert not link.is_symlink()
    assert port.fds == ()
    assert port.read() == b""
    port.write(b"lost")
    with pytest.raises(OSError, match="Input/output"):
        os.write(driver, b"x")
    os.close(driver)
    port.inject("unplug", 0)
    driver = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    port.write(b"again")
    assert os.read(driver, 100) == b"again"
    os.close(driver)
    port.close()
    assert not link.exists()


def test_garbage_surrounds_what_is_sent_and_is_the_same_each_time() -> None:
    def run() -> tuple[list[bytes], bytes]:
        tape = Tape()
        port = FaultyPort(lambda: tape, seed=3)
        port.inject("garbage")
        for _ in range(20):
            port.write(b"packet")
        port.write(b"")
        tape.incoming = b"answer"
        return tape.written, port.read()

    written, read = run()
    assert written[-1] == b""
    assert all(b"packet" in data and len(data) <= 6 + 2 * NOISE_BYTES for data in written[:-1])
    assert any(data != b"packet" for data in written)
    assert b"answer" in read
    assert run() == (written, read)


def test_half_packets_hit_the_given_fraction_until_healed() -> None:
    tape = Tape()
    port = FaultyPort(lambda: tape, seed=1)
    port.inject("half_packets", 0.5)
    for _ in range(400):
        port.write(b"123456")
    assert set(tape.written) == {b"123", b"123456"}
    assert 140 < tape.written.count(b"123") < 260
    port.inject("half_packets", 0)
    tape.written.clear()
    port.write(b"123456")
    assert tape.written == [b"123456"]
    with pytest.raises(ValueError, match="no fault 'fire'; it has unplug, garbage, half_packets"):
        port.inject("fire")


def lane(port: TcpPort) -> socket.socket:
    peer = socket.create_connection(("127.0.0.1", port.port), timeout=5)
    peer.settimeout(5)
    return peer


def until(read: Callable[[], bytes], wanted: bytes) -> None:
    data = b""
    for _ in range(10_000):
        data += read()
        if data == wanted:
            return
    raise AssertionError(data)


def test_a_tcp_port_serves_the_newest_lane() -> None:
    connected: list[int] = []
    port = TcpPort("127.0.0.1", 0, lambda: connected.append(1))
    port.write(b"nobody is there")
    first = lane(port)
    first.sendall(b"one")
    until(port.read, b"one")
    port.write(b"hello")
    assert first.recv(100) == b"hello"
    second = lane(port)
    second.sendall(b"two")
    until(port.read, b"two")
    assert first.recv(100) == b"", "the lane before was hung up on"
    assert len(connected) == 2
    second.close()
    for _ in range(100):
        assert port.read() == b""
    assert len(port.fds) == 1
    port.close()
    first.close()


def test_a_busy_port_is_named() -> None:
    port = TcpPort("127.0.0.1", 0, lambda: None)
    with pytest.raises(OSError, match=rf"cannot listen on 127.0.0.1:{port.port} .*another emulated scanner"):
        TcpPort("127.0.0.1", port.port, lambda: None)
    port.close()


def test_faults_of_the_stream() -> None:
    faults = StreamFaults()
    faults.inject("packet_loss", 0.25)
    assert faults.losses is not None
    packets = [bytes([n]) for n in range(200)]
    left = BadNetwork(1).carry(packets, faults.losses)
    assert 120 < len(left) < 180
    assert left == sorted(left)
    faults.inject("clock_jump", -3600.0)
    assert faults.clock_offset_ns == -3_600_000_000_000
    faults.inject("silence")
    assert faults.silent
    for fault in StreamFaults.FAULTS:
        faults.inject(fault, 0)
    assert vars(faults) == vars(StreamFaults())
    with pytest.raises(ValueError, match="no fault 'rain'"):
        faults.inject("rain")
