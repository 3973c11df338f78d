"""Retrieval service: PULL slabs, PUSH images to inference, PUB the same images for archive and console."""

from __future__ import annotations

import sys
import time

import zmq

import kernels
from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop, start
from edge.messages import Slab
from edge.retrieval.engine import Output, RetrievalEngine
from edge.wire import WireError, encode

NAME = "retrieval"
TOPIC = "images"


class Service:
    """Wires the engine to its sockets. A full queue towards inference stops the reading of slabs, not the loop."""

    def __init__(self, config: Config, bus: Bus) -> None:
        self.bus = bus
        self.loop = Loop(bus, "slabs")
        self.engine = RetrievalEngine(config, self.loop.log)
        self.slabs = bus.socket("slabs", zmq.PULL, bind=True)
        self.images = bus.socket("images", zmq.PUSH, bind=False)
        self.tap = bus.socket("image-tap", zmq.PUB, bind=True)
        self._waiting: list[bytes | memoryview] | None = None
        self.loop.on(self.slabs, self._on_slab)
        self.loop.every_tick(self._on_tick)
        asked = config.retrieval.backend
        try:
            using = self.engine.warm_up()
        except ValueError as error:
            self.loop.log.error("retrieval.backend = %s: %s", asked, error)
            raise SystemExit(2) from error
        self.loop.log.info("kernel backends here: %s; asked for %s, using %s", kernels.backends(), asked, using)

    def _on_slab(self) -> None:
        try:
            _, slab, arrays = self.bus.receive(self.slabs, Slab)
        except WireError as error:
            # Its bag ends as ServiceRestart at the gap, or at its deadline.
            self.loop.log.error("unreadable slab dropped: %s", error)
            self.loop.count("unreadable")
            return
        self.loop.worked()
        self.loop.count("columns", slab.columns)
        output = self.engine.process(slab, arrays)
        self.loop.lag_ms = max(0.0, (time.time_ns() - slab.t_ns) / 1e6)
        if output is not None:
            self._send(output)

    def _send(self, output: Output) -> None:
        message, arrays = output
        if message.fault is not None:
            self.loop.count(f"fault.{message.fault.value}")
        frames = encode(TOPIC, self.bus.stamp(message), arrays)
        self.tap.send_multipart(frames)
        if self.images.poll(0, zmq.POLLOUT):
            self.images.send_multipart(frames)
            return
        self._waiting = frames
        self.loop.queue = 1
        self.loop.off(self.slabs)

    def _on_tick(self) -> None:
        if self._waiting is not None and self.images.poll(0, zmq.POLLOUT):
            self.images.send_multipart(self._waiting)
            self._waiting = None
            self.loop.queue = 0
            self.loop.on(self.slabs, self._on_slab)


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    return start(NAME, lambda config, bus: Service(config, bus).loop.run())


if __name__ == "__main__":
    sys.exit(main())
