"""Sends detector frames as fast as a 1 GbE link carries them: the other end of ``darklane bench readout``.

A process of its own: ``python -m edge.bench.sender``. One frame is made; each time it is sent only its number and
time are new. spead2's C++ thread cuts it into packets, paces and sends them. The result, one line of JSON, goes to
standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass

import numpy as np
import spead2
import spead2.send
import spead2.send.asyncio

from firmware_bridge import detector_format as fmt

#: Bytes around each UDP payload on the wire: preamble 8, Ethernet 14, IP 20, UDP 8, checksum 4, gap 12.
WIRE_OVERHEAD = 66
WIRE_BYTES_PER_S = 125_000_000
#: IP and UDP headers, which the MTU contains.
HEADERS = 28
#: Frames handed to spead2 ahead of the line.
AHEAD = 8
#: What a busy machine held up is caught up with, this much faster than the line.
CATCH_UP = 1.05


@dataclass(frozen=True)
class Line:
    """How one frame goes over a 1 GbE link: sizes of its packets (UDP payload, bytes), and frames per second."""

    packets: int
    frame_bytes: int
    rate_hz: float


@dataclass(frozen=True)
class Sent:
    """What was sent, in what time, and the processor time of the whole process."""

    frames: int
    seconds: float
    cpu_s: float


def items(rows: int) -> spead2.send.ItemGroup:
    """One frame of Poisson noise with all its items; no descriptors, as all readers know the table."""
    group = spead2.send.ItemGroup(flavour=fmt.FLAVOUR)
    spec = fmt.counts_spec(rows)
    counts = np.random.default_rng(1).poisson(1000.0, spec.shape).astype(fmt.COUNTS_DTYPE)
    group.add_item(spec.id, spec.name, spec.description, spec.shape, fmt.COUNTS_DTYPE, value=counts)
    values: dict[fmt.ItemSpec, int | tuple[int, int]] = dict.fromkeys(fmt.SCALARS, 0)
    values |= {fmt.EXPOSURE_TIME: 8_400_000, fmt.THRESHOLDS: (20_000, 40_000), fmt.VERSION: fmt.STREAM_VERSION}
    for scalar, value in values.items():
        array = np.array(value, fmt.SCALAR_DTYPE)
        group.add_item(scalar.id, scalar.name, scalar.description, scalar.shape, fmt.SCALAR_DTYPE, value=array)
    return group


def line(rows: int, mtu: int) -> Line:
    """Packets of one frame at this MTU, and the rate that fills a 1 GbE link with them."""
    heap = items(rows).get_heap(descriptors="none", data="all")
    sizes = [len(bytes(packet)) for packet in spead2.send.PacketGenerator(heap, 0, mtu - HEADERS)]
    wire = sum(sizes) + WIRE_OVERHEAD * len(sizes)
    return Line(len(sizes), sum(sizes), WIRE_BYTES_PER_S / wire)


async def send(host: str, port: int, rows: int, mtu: int, seconds: float) -> Sent:
    """Send for ``seconds`` at the rate of a full 1 GbE link."""
    group = items(rows)
    full = line(rows, mtu)
    pool = spead2.ThreadPool(1)
    config = spead2.send.StreamConfig(
        rate=full.frame_bytes * full.rate_hz,
        rate_method=spead2.send.RateMethod.SW,
        max_packet_size=mtu - HEADERS,
        max_heaps=AHEAD + 1,
        burst_rate_ratio=CATCH_UP,
    )
    stream = spead2.send.asyncio.UdpStream(pool, [(host, port)], config)
    waiting: deque[asyncio.Future[int]] = deque()
    total = max(1, round(seconds * full.rate_hz))
    started = time.monotonic()
    cpu = time.process_time()
    for number in range(total):
        group[fmt.FRAME_NUMBER.id].value = np.array(number, fmt.SCALAR_DTYPE)
        group[fmt.EXPOSURE_START.id].value = np.array(time.time_ns(), fmt.SCALAR_DTYPE)
        waiting.append(stream.async_send_heap(group.get_heap(descriptors="none", data="all"), cnt=number))
        if len(waiting) >= AHEAD:
            await waiting.popleft()
    await asyncio.gather(*waiting)
    sent = Sent(total, time.monotonic() - started, time.process_time() - cpu)
    # The stream's destructor needs its pool.
    del stream
    pool.stop()
    return sent


def main() -> int:
    """Run until everything is sent."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    for name in ("--port", "--rows", "--mtu"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    sent = asyncio.run(send(given.host, given.port, given.rows, given.mtu, given.seconds))
    sys.stdout.write(json.dumps(asdict(sent)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
