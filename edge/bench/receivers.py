"""The two receivers that ``darklane bench readout`` sets beside each other on the same stream."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.bench.sender import Line
from firmware_bridge import realtime
from firmware_bridge.detector import DetectorStream

HOST = "127.0.0.1"
#: After the last packet, s.
QUIET_S = 1.0
#: Place of the heap counter in a packet of flavour 64-48: the value of its first item.
HEAP_COUNTER = slice(10, 16)
LARGEST_PACKET = 9216


@dataclass(frozen=True)
class Received:
    """What one receiver got. ``cpu_s``: of the whole process; ``packet_cpu_s``: of the thread that takes packets."""

    frames: int
    packets: int
    kernel_drops: int
    cpu_s: float
    packet_cpu_s: float
    buffer_mib: float
    fifo: bool


def thread_cpu_s(threads: set[int]) -> float:
    """Processor time of some threads of this process, s (first field of schedstat, ns)."""
    tasks = (Path(f"/proc/self/task/{thread}/schedstat") for thread in threads)
    return sum(int(task.read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def darklane(
    line: Line, rows: int, buffer_mib: int, priority: int, start: Callable[[int], None], sending: Callable[[], bool]
) -> Received:
    """The driver of the readout service, its frames fetched and dropped; ``start(port)`` begins the sending."""
    before = realtime.threads()
    with DetectorStream(HOST, 0, rows, buffer_mib=buffer_mib, fifo_priority=priority) as stream:
        mine = realtime.threads() - before
        cpu = time.process_time()
        start(stream.port)
        frames = 0
        quiet_from = time.monotonic()
        while sending() or time.monotonic() - quiet_from < QUIET_S:
            new = len(stream.receive(0.1))
            if new:
                frames += new
                quiet_from = time.monotonic()
        stats = stream.stats
        return Received(
            frames=frames,
            packets=frames * line.packets,
            kernel_drops=stats.kernel_drops,
            cpu_s=time.process_time() - cpu,
            packet_cpu_s=thread_cpu_s(mine),
            buffer_mib=stream.buffer_bytes / realtime.MIB,
            fifo=stream.fifo,
        )


def plain(
    line: Line, rows: int, buffer_mib: int, priority: int, start: Callable[[int], None], sending: Callable[[], bool]
) -> Received:
    """A Python loop around recv_into that counts the packets of each frame and keeps none of them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        size = realtime.grow_receive_buffer(sock, buffer_mib * realtime.MIB)
        sock.bind((HOST, 0))
        # A timeout of the kernel's: Python's own costs a second system call for every packet.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(QUIET_S), 0))
        fifo = priority > 0 and os.sched_getscheduler(0) == os.SCHED_FIFO
        buffer = bytearray(LARGEST_PACKET)
        seen: dict[int, int] = {}
        cpu = time.process_time()
        start(sock.getsockname()[1])
        receive, number = sock.recv_into, int.from_bytes
        while True:
            try:
                receive(buffer)
            except BlockingIOError:
                if not sending():
                    break
                continue
            frame = number(buffer[HEAP_COUNTER], "big")
            seen[frame] = seen.get(frame, 0) + 1
        used = time.process_time() - cpu
        return Received(
            frames=sum(count == line.packets for count in seen.values()),
            packets=sum(seen.values()),
            kernel_drops=realtime.udp_drops(sock),
            cpu_s=used,
            packet_cpu_s=used,
            buffer_mib=size / realtime.MIB,
            fifo=fifo,
        )


RECEIVERS = {"darklane": darklane, "plain": plain}
