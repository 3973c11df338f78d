"""Driver of the detector: SPEAD packets on a UDP port in, whole frames in order out.

The packets are put together by a C++ thread of ``spead2``, which never takes Python's lock; this class turns its
heaps into :class:`Frame` objects and accounts for all that is missing. A detector with another link (GigE Vision,
a vendor's library) needs another class with these few methods and nothing else.
"""

from __future__ import annotations

import logging
import select
import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final

import numpy as np
import spead2
import spead2.recv

from firmware_bridge import detector_filter, realtime
from firmware_bridge import detector_format as fmt
from firmware_bridge.detector_sequence import Frame, FrameSequence
from firmware_bridge.detector_socket import bound_socket, checked, drop_backlog
from firmware_bridge.scanner import BINS, COLUMNS

__all__ = ["DetectorError", "DetectorStats", "DetectorStream", "Frame"]

_LOG = logging.getLogger(__name__)
#: Heaps put together at once: packets may be displaced by this many frames.
OPEN_HEAPS: Final = 8
#: Frames waited for an earlier one; a heap that spead2 gives up comes after OPEN_HEAPS newer ones.
REORDER_FRAMES: Final = OPEN_HEAPS + 1
#: Frames held for an earlier one go on after this silence, s.
HOLD_S: Final = 0.25
#: The packets of this many heaps tell how many make a frame.
SURVEY_HEAPS: Final = 32
#: Memory for frames that wait to be fetched.
RING_BYTES: Final = 48 * realtime.MIB
MIN_RING_FRAMES: Final = 16
MAX_RING_FRAMES: Final = 256
#: Descriptors ride along in some heaps and make them longer.
DESCRIPTOR_ROOM: Final = 8 << 10


class DetectorError(RuntimeError):
    """The stream cannot be used: other version or other format; the text names both sides."""


@dataclass(frozen=True)
class DetectorStats:
    """Totals since the stream was opened.

    ``lost_frames``: numbers between the first and the latest frame that were not delivered (a detector restart counts
    one); of these, ``incomplete_frames`` came in part. ``late``: frames or parts that came after being given up.
    ``lost_packets`` is an estimate from missing bytes. ``rejected``: heaps that are not frames of this format.
    ``kernel_drops``: packets for which the kernel had no buffer, also those after the last frame.
    """

    frames: int
    lost_frames: int
    incomplete_frames: int
    duplicate: int
    late: int
    lost_packets: int
    rejected: int
    restarts: int
    kernel_drops: int


class DetectorStream:
    """Receives the frames of one detector. Use as a context manager.

    ``rows`` is what the lane expects; a stream of another size or version raises :class:`DetectorError`.
    ``fifo_priority`` 0 leaves the receiver thread at normal priority. ``passed``: a socket that is bound already
    (see :mod:`firmware_bridge.detector_socket`); the stream owns and closes it, and ``port`` must be its port
    (0: any). What waits in its buffer, from before this process, is received too, unless the buffer ran over.
    """

    def __init__(
        self,
        host: str,
        port: int,
        rows: int,
        *,
        buffer_mib: int = 64,
        fifo_priority: int = 20,
        passed: socket.socket | None = None,
    ) -> None:
        self.rows = rows
        frame_bytes = fmt.counts_bytes(rows)
        self._sequence = FrameSequence(REORDER_FRAMES, frame_bytes)
        self._packets_per_frame = frame_bytes / fmt.PACKET_BYTES
        self._packets_known = False
        self._rejected = 0
        self._held_since = 0.0
        try:
            self._socket = bound_socket(host, port) if passed is None else checked(passed, port)
        except ValueError as error:
            raise DetectorError(f"detector stream: {error}") from error
        self.buffer_bytes = realtime.grow_receive_buffer(self._socket, buffer_mib * realtime.MIB)
        detector_filter.attach(self._socket)
        # A passed socket may have dropped packets while nobody read it.
        self._drops_before = realtime.udp_drops(self._socket)
        if self._drops_before:
            _LOG.info("%d packets that waited too long were thrown away", drop_backlog(self._socket))
        self.port: int = self._socket.getsockname()[1]
        before = realtime.threads()
        self._pool = spead2.ThreadPool(1)
        self.fifo = fifo_priority > 0 and realtime.make_fifo(realtime.threads() - before, fifo_priority)
        ring = min(MAX_RING_FRAMES, max(MIN_RING_FRAMES, RING_BYTES // frame_bytes))
        memory = spead2.MemoryPool(frame_bytes, frame_bytes + DESCRIPTOR_ROOM, 2 * ring, ring + OPEN_HEAPS)
        memory.warn_on_empty = False
        self._stream = spead2.recv.Stream(
            self._pool,
            spead2.recv.StreamConfig(
                max_heaps=OPEN_HEAPS, memory_allocator=memory, allow_unsized_heaps=False, allow_out_of_order=True
            ),
            spead2.recv.RingStreamConfig(heaps=ring, contiguous_only=False),
        )
        self._stream.add_udp_reader(self._socket, max_size=max(9200, fmt.PACKET_BYTES))
        self._poll = select.poll()
        self._poll.register(self._stream.fd, select.POLLIN)

    def __enter__(self) -> DetectorStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop receiving and free the port."""
        self._stream.stop()
        self._pool.stop()
        self._socket.close()

    def fileno(self) -> int:
        """Readable when :meth:`receive` has something to look at."""
        return self._stream.fd

    def receive(self, timeout_s: float) -> list[Frame]:
        """Whole frames that are due, in order of their number; empty when none came within ``timeout_s``.

        Raises :class:`DetectorError` when the first heap shows another stream version or frame size.
        """
        deadline = time.monotonic() + timeout_s
        ready: list[Frame] = []
        while True:
            while True:
                try:
                    heap = self._stream.get_nowait()
                except (spead2.Empty, spead2.Stopped):
                    break
                ready += self._take(heap)
            now = time.monotonic()
            if not self._sequence.waiting or ready:
                self._held_since = now
            elif now - self._held_since > HOLD_S:
                ready = self._sequence.flush()
            if ready or now >= deadline:
                return ready
            wait_s = min(deadline - now, HOLD_S)
            self._poll.poll(max(1, round(wait_s * 1e3)))

    @property
    def stats(self) -> DetectorStats:
        """A snapshot of the totals."""
        counts = self._sequence.counts
        spead = self._stream.stats
        if not self._packets_known and spead.heaps >= SURVEY_HEAPS:
            self._packets_per_frame = max(1.0, spead["packets"] / spead.heaps)
            self._packets_known = True
        lost_packets = round(counts.lost_bytes / self._sequence.frame_bytes * self._packets_per_frame)
        return DetectorStats(
            frames=counts.frames,
            lost_frames=counts.lost_frames,
            incomplete_frames=counts.incomplete_frames,
            duplicate=counts.duplicate,
            late=counts.late,
            lost_packets=max(counts.lost_frames, lost_packets),
            rejected=self._rejected,
            restarts=counts.restarts,
            kernel_drops=realtime.udp_drops(self._socket) - self._drops_before if self._socket.fileno() >= 0 else 0,
        )

    def _take(self, heap: spead2.recv.Heap | spead2.recv.IncompleteHeap) -> list[Frame]:
        if isinstance(heap, spead2.recv.IncompleteHeap):
            return self._sequence.broken(heap.cnt, max(1, heap.heap_length - heap.received_length))
        try:
            return self._sequence.whole(self._decode(heap))
        except ValueError as error:
            if self._sequence.counts.frames == 0:
                raise DetectorError(f"detector stream on port {self.port}: {error}") from error
            if self._rejected == 0:
                _LOG.error("detector stream on port %d: heap %d rejected: %s", self.port, heap.cnt, error)
            self._rejected += 1
            return []

    def _decode(self, heap: spead2.recv.Heap) -> Frame:
        """The frame of a whole heap; ValueError says what is wrong with it."""
        items = {item.id: item for item in heap.get_items() if not item.is_immediate}

        def numbers(spec: fmt.ItemSpec) -> list[int]:
            item = items.get(spec.id)
            values = [] if item is None else np.array(item, copy=False).view(fmt.SCALAR_DTYPE).tolist()
            if len(values) != int(np.prod(spec.shape)):
                raise ValueError(
                    f"item {spec.name} (0x{spec.id:x}) has {len(values)} values; is this a Darklane detector?"
                )
            return values

        (version,) = numbers(fmt.VERSION)
        (firmware,) = numbers(fmt.FIRMWARE)
        if version != fmt.STREAM_VERSION:
            raise ValueError(
                f"detector firmware {fmt.firmware_text(firmware)} sends stream version {version}, this driver reads "
                f"version {fmt.STREAM_VERSION}; update the older of the two"
            )
        raw = items.get(fmt.COUNTS_ID)
        counts = np.empty(0, fmt.COUNTS_DTYPE) if raw is None else np.array(raw, copy=False).view(fmt.COUNTS_DTYPE)
        if counts.nbytes != fmt.counts_bytes(self.rows):
            raise ValueError(
                f"frames hold {counts.nbytes // (len(BINS) * COLUMNS * 2)} rows, the lane expects {self.rows}; "
                "set row_binning and native_rows of [scanner] to what the detector sends"
            )
        (number,) = numbers(fmt.FRAME_NUMBER)
        if number != heap.cnt:
            raise ValueError(f"frame number {number} in a heap numbered {heap.cnt}")
        counts = counts.reshape(len(BINS), self.rows, COLUMNS)
        counts.flags.writeable = False
        low_ev, high_ev = numbers(fmt.THRESHOLDS)
        return Frame(
            number=number,
            t_ns=numbers(fmt.EXPOSURE_START)[0],
            exposure_ns=numbers(fmt.EXPOSURE_TIME)[0],
            encoder_start=numbers(fmt.ENCODER_START)[0],
            encoder_stop=numbers(fmt.ENCODER_STOP)[0],
            thresholds_ev=(low_ev, high_ev),
            firmware=firmware,
            counts=counts,
        )
