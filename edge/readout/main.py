"""Readout service: detector packets and belt events in, slabs of phase sums out, each on disk before it is sent."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import deque
from collections.abc import Sequence

import zmq

import kernels
from edge import wire
from edge.bridge.client import EventReader
from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop, start
from edge.messages import Fault, Recall
from edge.readout.engine import ReadoutEngine, SlabOut
from edge.readout.ledger import Ledger, unfinished
from edge.readout.masks import ActiveMask
from edge.readout.outbox import Outbox
from edge.readout.recall import TOPIC, Recaller
from edge.readout.window import Geometry
from edge.spool import Spool
from firmware_bridge.detector import DetectorError, DetectorStream
from firmware_bridge.detector_socket import passed_socket

NAME = "readout"
LEDGER_FILE = "readout.json"
#: Spool files that stay when nothing archives them.
KEEP_WITHOUT_ARCHIVE = 16
#: The stream's totals are read this often (one of them is a file of the kernel's), s.
STATS_PERIOD_S = 0.2
#: Totals of the stream that the status shows.
SHOWN = ("lost_frames", "incomplete_frames", "lost_packets", "duplicate", "late", "kernel_drops", "rejected")


class Service:
    """Wires detector stream, engine, outbox and sockets."""

    def __init__(self, config: Config, bus: Bus, stream: DetectorStream) -> None:
        self.bus = bus
        self.config = config
        self.stream = stream
        self.loop = Loop(bus, "frames")
        self.store = Spool(config.state_dir / "spool")
        self.ledger = Ledger(config.state_dir / LEDGER_FILE)
        self.slabs = bus.socket("slabs", zmq.PUSH, bind=False)
        self.outbox = Outbox(self.store, self._offer, self._sent)
        self.events = EventReader(bus)
        scanner = config.scanner
        self.recalls = bus.socket("recalls", zmq.PULL, bind=True)
        self.recaller = Recaller(self.store, self.outbox, Geometry.of(config), scanner.rows, bus.stamp)
        offsets = scanner.column_offsets_um()
        self._stats_due = 0.0
        self._lost_packets = 0
        width = math.ceil((max(offsets) - min(offsets)) / scanner.object_grid_um)
        # Two slabs (one waiting, one batch running ahead) and the width of the detector, with its edges.
        capacity = 2 * config.retrieval.slab_columns + width + 8
        mask = ActiveMask(config.state_dir / "calibration", scanner.rows)
        mask()
        self.engine = ReadoutEngine(
            config,
            lambda: kernels.PhaseSums(scanner.rows, scanner.object_grid_um, offsets, capacity),
            mask,
            time.monotonic(),
        )
        self.loop.on(stream.fileno(), self._on_frames)
        self.loop.on(self.events.subscription, self._on_events)
        self.loop.on(self.events.commands, self._on_events)
        self.loop.on(self.recalls, self._on_recall)
        self.loop.every_tick(self._on_tick)
        self._take_up()

    def run(self) -> None:
        """Run until stopped."""
        try:
            self.loop.run()
        finally:
            self.outbox.close()

    def _take_up(self) -> None:
        """Settle what an earlier process left in the spool."""
        for bag_id in self.ledger.finished:
            self.engine.forget(bag_id)
        again, cut = unfinished(self.store, frozenset(self.ledger.finished))
        for bag_id in again:
            self.loop.log.warning("bag %s was recorded but not sent; sending it", bag_id)
            self.engine.forget(bag_id)
            self.outbox.again(bag_id, f"{bag_id[:100]}.again-{self.bus.stamp.boot_id}")
        for slab, arrays in cut:
            self.loop.log.warning("bag %s was being recorded when readout ended", slab.bag_id)
            self.engine.forget(slab.bag_id)
            self._put([(slab, arrays)])

    def _on_frames(self) -> None:
        frames = self.stream.receive(0.0)
        if not frames:
            return
        now = time.monotonic()
        self.loop.worked(len(frames))
        self.loop.lag_ms = max(0.0, (time.time_ns() - frames[0].t_ns) / 1e6)
        # Belt events first: a window must be open before its frames are summed.
        self._on_events()
        self._put(self.engine.on_frames(frames, self._lost_packets, now))

    def _on_events(self) -> None:
        for event in self.events.read():
            self._put(self.engine.on_event(event, time.monotonic()))

    def _on_recall(self) -> None:
        try:
            _, recall, _ = self.bus.receive(self.recalls, Recall)
        except wire.WireError as error:
            self.loop.log.error("unreadable recall: %s", error)
            return
        self.loop.count("recalls")
        self.recaller.take(recall, recording=recall.bag_id in self.engine.open_bags)

    def _on_tick(self) -> None:
        self._on_events()
        # Also releases frames that were held back for an earlier one.
        self._on_frames()
        now = time.monotonic()
        self._put(self.engine.on_tick(now))
        self.outbox.pump()
        if now >= self._stats_due:
            self._stats_due = now + STATS_PERIOD_S
            self._read_stats()
        self.loop.queue = len(self.outbox)
        self.loop.detail = ", ".join(self.engine.open_bags)

    def _read_stats(self) -> None:
        stats = self.stream.stats
        self._lost_packets = stats.lost_packets
        for name in SHOWN:
            self.loop.counters[name] = getattr(stats, name)

    def _put(self, slabs: Sequence[SlabOut]) -> None:
        waiting = deque(slabs)
        while waiting:
            slab, arrays = waiting.popleft()
            stamped = self.bus.stamp(slab)
            complaint = self.outbox.put(slab.bag_id, wire.encode(TOPIC, stamped, arrays), last=slab.last)
            if complaint and not slab.last:
                waiting += self.engine.abandon(slab.bag_id, Fault.DETECTOR_FAULT, complaint)
            self.loop.count("slabs")
            if slab.fault is not None:
                self.loop.count(f"fault.{slab.fault.value}")
            if slab.last:
                self.loop.count("bags")
                self.loop.log.info(
                    "bag %s: %d slabs, %d frames, %d lost", slab.bag_id, slab.index + 1, slab.frames, slab.lost_frames
                )

    def _offer(self, frames: Sequence[bytes | memoryview]) -> bool:
        try:
            self.slabs.send_multipart(frames, flags=zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def _sent(self, bag_id: str) -> None:
        self.ledger.finish(bag_id)
        self.recaller.sent(bag_id)
        if not self.config.archive.enabled:
            self.store.keep_newest(KEEP_WITHOUT_ARCHIVE, protect=self.outbox.bags)


def _body(config: Config, bus: Bus) -> None:
    detector = config.detector
    with DetectorStream(
        detector.host,
        detector.port,
        config.scanner.rows,
        buffer_mib=detector.receive_buffer_mib,
        fifo_priority=detector.fifo_priority,
        passed=passed_socket(NAME),
    ) as stream:
        Service(config, bus, stream).run()


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    try:
        return start(NAME, _body)
    except DetectorError as error:
        logging.getLogger(NAME).error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
