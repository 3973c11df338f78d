"""Archive service: SUB to the image tap and the verdict feed; files come out in ``<state_dir>/archive``."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext

from edge.archive.engine import Archive
from edge.bus import Bus
from edge.config import Config
from edge.dicos.push import Peer, Pusher
from edge.loop import Loop, start
from edge.messages import ImageSlab, Verdict
from edge.wire import WireError

NAME = "archive"
VERDICT_TOPIC = "bag.verdict"
#: The archive never takes processor time from the lane.
NICE = 10


class Service:
    """Wires the engine to its sockets."""

    def __init__(self, config: Config, bus: Bus) -> None:
        self.bus = bus
        self.loop = Loop(bus, "bags")
        self.engine: Archive | None = None
        self.pusher: Pusher | None = None
        self._pushed = 0
        if not config.archive.enabled:
            self.loop.detail = "disabled by archive.enabled"
            return
        self.engine = Archive(config, self.loop.log)
        self.pusher = _pusher(config)
        self.tap = bus.subscriber("image-tap")
        self.feed = bus.subscriber("feed", VERDICT_TOPIC)
        self.loop.on(self.tap, self._on_images)
        self.loop.on(self.feed, self._on_verdict)
        self.loop.every_tick(self._on_tick)

    def run(self) -> None:
        """Serve until stopped, then write what is in hand."""
        if self.engine is None:
            self.loop.run()
            return
        with self.pusher or nullcontext():
            self.loop.run()
            self.engine.close()

    def _on_images(self) -> None:
        assert self.engine is not None
        try:
            _, slab, arrays = self.bus.receive(self.tap, ImageSlab)
        except WireError as error:
            self._unreadable("image slab", error)
            return
        self.engine.images(slab, arrays)

    def _on_verdict(self) -> None:
        assert self.engine is not None
        try:
            _, verdict, _ = self.bus.receive(self.feed, Verdict)
        except WireError as error:
            self._unreadable("verdict", error)
            return
        self.engine.verdict(verdict)

    def _unreadable(self, what: str, error: WireError) -> None:
        self.loop.count("unreadable")
        self.loop.log.error("unreadable %s dropped: %s", what, error)

    def _on_tick(self) -> None:
        assert self.engine is not None
        self.loop.worked(len(self.engine.tick()))
        self.loop.queue = self.engine.open_bags
        self.loop.counters.update(self.engine.counters)
        if self.pusher is not None:
            self.loop.counters["dicos_sent"] = self.pusher.sent
            self.loop.detail = self.pusher.fault
            if self.engine.counters.get("dicos_files", 0) != self._pushed:
                self._pushed = self.engine.counters["dicos_files"]
                self.pusher.wake()


def _pusher(config: Config) -> Pusher | None:
    if not config.dicos.enabled or not config.dicos.push:
        return None
    folder = config.device_path(config.dicos.folder)
    return Pusher(folder, Peer.parse(config.dicos.push), config.dicos.ae_title)


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    os.nice(NICE)
    return start(NAME, lambda config, bus: Service(config, bus).run())


if __name__ == "__main__":
    sys.exit(main())
