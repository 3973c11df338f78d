"""The detector's sending end: frames to SPEAD packets on UDP, in a thread of its own."""

from __future__ import annotations

import logging
import queue
import socket
import threading
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import spead2
import spead2.send

from firmware_bridge import detector_format as fmt
from firmware_bridge.emulator.faults import BadNetwork, PacketFaults

_LOG = logging.getLogger(__name__)
FIRMWARE: Final = fmt.firmware_word(1, 0, 0)
#: Frames rendered ahead of the line.
QUEUE_FRAMES: Final = 4
#: A frame's packets are spread over the first part of the frame period, not sent in one burst.
RATE_HEADROOM: Final = 2.0
#: Heaps between two that carry the item descriptors, for readers that do not know our table.
DESCRIPTOR_PERIOD: Final = 128
Counts = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Exposure:
    """What the detector says about one frame besides its counts (see detector_format)."""

    number: int
    t_ns: int
    exposure_ns: int
    encoder_start: int
    encoder_stop: int
    thresholds_ev: tuple[int, int]


class Target(NamedTuple):
    """Where the stream goes, in packets of which UDP payload."""

    host: str
    port: int
    packet_bytes: int = fmt.PACKET_BYTES


class DetectorDevice:
    """Sends frames of ``rows`` rows to ``host:port``. Use as a context manager.

    Frame buffers go round: take one with :meth:`buffer`, fill it, give it to :meth:`send`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        rows: int,
        frame_rate_hz: float,
        *,
        seed: int = 0,
        packet_bytes: int = fmt.PACKET_BYTES,
        version: int = fmt.STREAM_VERSION,
    ) -> None:
        self._version = version
        self._network = BadNetwork(seed)
        spec = fmt.counts_spec(rows)
        self._frame_bytes = fmt.counts_bytes(rows)
        self._rate = self._frame_bytes * frame_rate_hz * RATE_HEADROOM
        self._items = spead2.send.ItemGroup(descriptor_frequency=DESCRIPTOR_PERIOD, flavour=fmt.FLAVOUR)
        self._items.add_item(spec.id, spec.name, spec.description, spec.shape, fmt.COUNTS_DTYPE)
        for scalar in fmt.SCALARS:
            self._items.add_item(scalar.id, scalar.name, scalar.description, scalar.shape, fmt.SCALAR_DTYPE)
        self._pool = spead2.ThreadPool(1)
        self._connect(Target(host, port, packet_bytes))
        self._free: queue.Queue[Counts] = queue.Queue()
        for _ in range(QUEUE_FRAMES + 1):
            self._free.put(np.zeros(spec.shape, fmt.COUNTS_DTYPE))
        self._jobs: queue.Queue[tuple[Exposure, Counts, PacketFaults | None] | Target | None] = queue.Queue(
            QUEUE_FRAMES
        )
        self._thread = threading.Thread(target=self._run, name="detector-send", daemon=True)
        self._thread.start()

    def __enter__(self) -> DetectorDevice:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Send what is queued and stop."""
        self._jobs.put(None)
        self._thread.join()
        self._socket.close()
        # The stream's destructor waits for its last callback: the pool must still be running then.
        del self._stream
        self._pool.stop()

    def aim(self, target: Target) -> None:
        """Send to another address or in packets of another size from the next frame on."""
        self._jobs.put(target)

    def buffer(self) -> Counts:
        """A free frame buffer (2, rows, 128); waits while all are on their way."""
        return self._free.get()

    def send(self, exposure: Exposure, counts: Counts, faults: PacketFaults | None = None) -> None:
        """Queue one frame; ``counts`` must come from :meth:`buffer`. ``faults``: through a bad network."""
        self._jobs.put((exposure, counts, faults))

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if isinstance(job, Target):
                self._socket.close()
                self._connect(job)
                continue
            exposure, counts, faults = job
            try:
                self._send(exposure, counts, faults)
            except OSError as error:
                # A link that is down loses frames; the detector goes on.
                _LOG.warning("frame %d not sent: %s", exposure.number, error)
            self._free.put(counts)

    def _connect(self, target: Target) -> None:
        self._target = target
        self._packets = -(-self._frame_bytes // target.packet_bytes)
        config = spead2.send.StreamConfig(rate=self._rate, max_packet_size=target.packet_bytes)
        self._stream = spead2.send.UdpStream(self._pool, [target[:2]], config)
        self._socket = socket.socket(socket.AF_INET6 if ":" in target.host else socket.AF_INET, socket.SOCK_DGRAM)

    def _send(self, exposure: Exposure, counts: Counts, faults: PacketFaults | None) -> None:
        heap = self._heap(exposure, counts)
        if faults is None:
            for packet in self._network.advance(self._packets) if self._network.holding else ():
                self._socket.sendto(packet, self._target[:2])
            self._stream.send_heap(heap, cnt=exposure.number)
            return
        packets = spead2.send.PacketGenerator(heap, exposure.number, self._target.packet_bytes)
        for packet in self._network.carry((bytes(packet) for packet in packets), faults):
            self._socket.sendto(packet, self._target[:2])

    def _heap(self, exposure: Exposure, counts: Counts) -> spead2.send.Heap:
        values: dict[fmt.ItemSpec, int | tuple[int, int]] = {
            fmt.FRAME_NUMBER: exposure.number,
            fmt.EXPOSURE_START: exposure.t_ns,
            fmt.EXPOSURE_TIME: exposure.exposure_ns,
            fmt.ENCODER_START: exposure.encoder_start,
            fmt.ENCODER_STOP: exposure.encoder_stop,
            fmt.THRESHOLDS: exposure.thresholds_ev,
            fmt.FIRMWARE: FIRMWARE,
            fmt.VERSION: self._version,
        }
        self._items[fmt.COUNTS_ID].value = counts
        for spec, value in values.items():
            self._items[spec.id].value = np.array(value, fmt.SCALAR_DTYPE)
        return self._items.get_heap(descriptors="stale", data="all")
