"""Retrieval, inference and verdict in one scripted process, for the tests of replay: no physics, same sockets.

Binds what the real ones bind, asks the bridge as the real ones do, and calls ALARM when the mean phase sum is high.
"""

from __future__ import annotations

import sys

import numpy as np
import zmq

from edge.bridge.client import EventReader
from edge.bus import Bus
from edge.config import Config
from edge.loop import Loop, start
from edge.messages import (
    CHANNELS,
    IATA,
    Arrays,
    BagNotice,
    Decision,
    DeviceEventKind,
    Fault,
    ImageSlab,
    LaneState,
    Slab,
    Verdict,
)

ALARM_COUNTS = 4000.0


class Toy:
    """Slabs in; images and one verdict per bag out."""

    def __init__(self, config: Config, bus: Bus) -> None:
        self.bus = bus
        self.config = config
        self.loop = Loop(bus, "slabs")
        self.slabs = bus.socket("slabs", zmq.PULL, bind=True)
        self.tap = bus.socket("image-tap", zmq.PUB, bind=True)
        self.feed = bus.socket("feed", zmq.PUB, bind=True)
        self.events = EventReader(bus)
        self.tag = ""
        self.left = False
        self.loop.on(self.slabs, self.on_slab)
        self.loop.every_tick(self.tick)

    def tick(self) -> None:
        self.bus.send(self.feed, "lane.state", LaneState(state="READY"))
        for event in self.events.read():
            if event.kind is DeviceEventKind.BAG_ENTRY:
                self.tag = event.bag_tag
                assert event.encoder == round((8_000.0 - 30_000.0) / self.config.scanner.encoder_um)
                self.bus.send(self.feed, "bag.start", BagNotice(bag_id=event.bag_id, bag_tag=event.bag_tag))
            self.left = self.left or event.kind is DeviceEventKind.BAG_EXIT

    def on_slab(self) -> None:
        _, slab, arrays = self.bus.receive(self.slabs, Slab)
        shape = (len(CHANNELS), 2, slab.rows, slab.columns)
        images: Arrays = {
            "images": np.ones(shape, np.float32),
            "sigma": np.full(shape, 0.1, np.float32),
            "flags": np.zeros(shape[1:], np.uint16),
        }
        carried = slab.model_dump(include=set(ImageSlab.model_fields) - {"schema_id"})
        self.bus.send(self.tap, "images", ImageSlab(**carried, row_pitch_um=307.8), images)
        if slab.columns:
            self.mean = float(arrays["phase_sums"].astype(np.float64).mean())
        if slab.last:
            self.bus.send(self.feed, "bag.verdict", self.verdict(slab))

    def verdict(self, slab: Slab) -> Verdict:
        fault = slab.fault or (Fault.CALIBRATION_EXPIRED if not slab.calibration_id else None)
        decision = Decision.ALARM if self.mean > ALARM_COUNTS else Decision.CLEAR
        decision = Decision.UNKNOWN if fault else decision
        return Verdict(
            bag_id=slab.bag_id,
            bag_tag=self.tag,
            decision=decision,
            iata=IATA[decision],
            reason=fault,
            score=0.9 if decision is Decision.ALARM else 0.1,
            calibration_id=slab.calibration_id,
        )


def main() -> int:
    return start("verdict", lambda config, bus: Toy(config, bus).loop.run())


if __name__ == "__main__":
    sys.exit(main())
