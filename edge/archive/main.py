"""Archive service: SUB to the image tap and the verdict feed; files come out in ``<state_dir>/archive``."""

from __future__ import annotations

import os
import sys

from edge.archive.engine import Archive
from edge.bus import Bus
from edge.config import Config
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
        if not config.archive.enabled:
            self.loop.detail = "disabled by archive.enabled"
            return
        self.engine = Archive(config, self.loop.log)
        self.tap = bus.subscriber("image-tap")
        self.feed = bus.subscriber("feed", VERDICT_TOPIC)
        self.loop.on(self.tap, self._on_images)
        self.loop.on(self.feed, self._on_verdict)
        self.loop.every_tick(self._on_tick)

    def run(self) -> None:
        """Serve until stopped, then write what is in hand."""
        self.loop.run()
        if self.engine is not None:
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


def main() -> int:
    """Run the service until it is stopped; returns the exit code."""
    os.nice(NICE)
    return start(NAME, lambda config, bus: Service(config, bus).run())


if __name__ == "__main__":
    sys.exit(main())
