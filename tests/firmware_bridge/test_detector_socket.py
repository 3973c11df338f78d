"""The detector's socket: bound here, or passed by a service manager as sd_listen_fds(3) says."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from firmware_bridge import realtime
from firmware_bridge.detector import DetectorError, DetectorStream
from firmware_bridge.detector_socket import passed_socket
from firmware_bridge.emulator.detector_device import DetectorDevice, Exposure

HOST = "127.0.0.1"
ROWS = 16
#: Runs the driver as systemd would start it: descriptors from 3 on, LISTEN_PID its own process id.
ACTIVATED = """
import os, sys
from firmware_bridge.detector import DetectorStream
from firmware_bridge.detector_socket import passed_socket
rows, other, mine = map(int, sys.argv[1:])
os.dup2(other, 3), os.dup2(mine, 4)
os.environ["LISTEN_PID"] = str(os.getpid())
sock = passed_socket("readout")
with DetectorStream("", 0, rows, buffer_mib=1, fifo_priority=0, passed=sock) as stream:
    frames = stream.receive(20.0)
    print(stream.port, frames[0].number, stream.stats.kernel_drops)
"""


def udp(port: int = 0) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, port))
    return sock


def test_frames_sent_before_the_process_exists_are_received_by_it() -> None:
    """Socket activation for real: the packets wait in the socket that the parent holds."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, udp() as sock:
        with DetectorDevice(HOST, sock.getsockname()[1], ROWS, 500.0) as device:
            buffer = device.buffer()
            buffer[:] = 7
            device.send(Exposure(41, 1, 1, 0, 0, (20_000, 40_000)), buffer)
        fds = (other.fileno(), sock.fileno())
        ran = subprocess.run(
            [sys.executable, "-c", ACTIVATED, str(ROWS), *map(str, fds)],
            check=False,
            env={**os.environ, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "other:readout"},
            pass_fds=fds,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.split() == [str(sock.getsockname()[1]), "41", "0"]


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "readout"},
        {"LISTEN_PID": "me", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "stored"},
        {"LISTEN_PID": "me", "LISTEN_FDS": "0", "LISTEN_FDNAMES": "readout"},
        {"LISTEN_PID": "me", "LISTEN_FDS": "²", "LISTEN_FDNAMES": "readout"},
        {"LISTEN_PID": "me", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "me", "LISTEN_FDNAMES": "readout"},
    ],
)
def test_what_is_not_meant_for_this_process_is_left_alone(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(os.getpid()) if value == "me" else value)
    assert passed_socket("readout") is None


def test_another_port_than_the_configured_one_is_named() -> None:
    sock = udp()
    port = sock.getsockname()[1]
    with pytest.raises(DetectorError, match=rf"listens on port {port}, .* \[detector\] port = 7148"):
        DetectorStream(HOST, 7148, ROWS, passed=sock)
    assert sock.fileno() == -1


def test_a_socket_that_is_not_udp_is_named() -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    with pytest.raises(DetectorError, match=r"AF_INET SOCK_STREAM socket; it must be UDP"):
        DetectorStream(HOST, 0, ROWS, passed=sock)
    assert sock.fileno() == -1


def test_a_large_buffer_is_not_made_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the right to force it, asking again would cut the buffer of a .socket unit down to rmem_max."""
    with udp() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        monkeypatch.setattr(realtime, "SO_RCVBUFFORCE", -1)
        assert realtime.grow_receive_buffer(sock, 32768) == 65536


def test_drops_before_the_driver_took_the_socket_are_not_its_own() -> None:
    sock = udp()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with udp() as sender:
        for _ in range(100):
            sender.sendto(bytes(1000), sock.getsockname())
    assert realtime.udp_drops(sock) > 0
    with DetectorStream(HOST, 0, ROWS, buffer_mib=1, fifo_priority=0, passed=sock) as stream:
        assert stream.stats.kernel_drops == 0


def test_a_socket_that_ran_over_starts_anew() -> None:
    """Otherwise the frames between the old ones in its buffer and the first new one would count as lost."""
    sock = udp()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

    def send(device: DetectorDevice, numbers: range) -> None:
        for number in numbers:
            device.send(Exposure(number, number, 1, 0, 0, (20_000, 40_000)), device.buffer())

    port = sock.getsockname()[1]
    with DetectorDevice(HOST, port, ROWS, 2000.0) as device:
        send(device, range(50))
    with (
        DetectorStream(HOST, port, ROWS, buffer_mib=1, fifo_priority=0, passed=sock) as stream,
        DetectorDevice(HOST, port, ROWS, 500.0) as device,
    ):
        send(device, range(500, 510))
        frames = stream.receive(20.0)
        assert frames[0].number == 500
        assert stream.stats.lost_frames == 0
