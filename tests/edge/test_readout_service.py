"""The readout service with its real sockets and disk, its engine and a detector made of a list."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import zmq

from edge import wire
from edge.bridge import client
from edge.bus import Bus
from edge.messages import CommandReply, DeviceCommand, DeviceEvent, Fault, Slab
from edge.readout.main import KEEP_WITHOUT_ARCHIVE, SHOWN, Service
from edge.spool import Spool
from firmware_bridge.detector import DetectorStream
from tests.edge.readout_scene import STEP_UM, FakeFrame, check_protocol, config, entry, frames_at, leave

FRAMES = frames_at(list(np.arange(0.0, 70e3, STEP_UM)))
LATER = frames_at(list(np.arange(70e3, 140e3, STEP_UM)))


class Lane:
    """Everything around one readout: bridge, detector, retrieval. Readouts can die and start again."""

    def __init__(self, folder: Path) -> None:
        self.config = config(state_dir=folder).model_copy(update={"archive": SimpleNamespace(enabled=False)})
        self.bus = Bus(self.config.run_dir, "test")
        self.commands = self.bus.socket("commands", zmq.ROUTER, bind=True)
        self.publisher = self.bus.socket("events", zmq.PUB, bind=True)
        self.retrieval: zmq.Socket[bytes] | None = self.bus.socket("slabs", zmq.PULL, bind=True)
        self.events: list[DeviceEvent] = []
        self.due: list[FakeFrame] = []
        self.slabs: list[Slab] = []
        self._services: list[Service] = []
        self._pipe = os.pipe()
        self.service = self.start()

    def start(self) -> Service:
        """A new readout process, as far as the lane can tell."""
        stream = SimpleNamespace(
            fileno=lambda: self._pipe[0], receive=self._receive, stats=SimpleNamespace(**dict.fromkeys(SHOWN, 0))
        )
        bus = Bus(self.config.run_dir, "readout")
        self.service = Service(self.config, bus, cast("DetectorStream", stream))
        self._services.append(self.service)
        return self.service

    def _receive(self, timeout_s: float) -> Sequence[FakeFrame]:
        frames, self.due = self.due[:9], self.due[9:]
        return frames

    def until(self, done: Callable[[], bool]) -> None:
        """Turn the service's loop by hand; 20 s at most."""
        end = time.monotonic() + 20
        while not done():
            assert time.monotonic() < end
            while self.commands.poll(0):
                peer, *frames = self.commands.recv_multipart()
                after = wire.decode(frames, DeviceCommand)[1].after_seq
                reply = CommandReply(ok=True, events=tuple(e for e in self.events if e.seq > after))
                self.commands.send_multipart([peer, *wire.encode("reply", reply)])
            self.service._on_tick()
            while self.retrieval is not None and self.retrieval.poll(1):
                self.slabs.append(self.bus.receive(self.retrieval, Slab)[1])

    def scan(self, bag: str, seq: int, frames: Sequence[FakeFrame]) -> None:
        """A bag of 20 mm enters 5 mm behind the first frame; ``frames`` follow."""
        at_mm = frames[0].encoder_start / 1e3 + 5
        self.events += [entry(bag, at_mm, seq), leave(bag, at_mm + 20, seq + 1)]
        self.until(lambda: bag in self.service.engine.open_bags)
        self.due += frames

    def close(self) -> None:
        for service in self._services:
            service.outbox.close()
            service.bus.close()
        self.bus.close()
        for end in self._pipe:
            os.close(end)


@pytest.fixture
def lane(monkeypatch: pytest.MonkeyPatch) -> Iterator[Lane]:
    monkeypatch.setattr(client, "ASK_EVERY_S", 0.02)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with tempfile.TemporaryDirectory(prefix="dl-") as folder:
        made = Lane(Path(folder))
        yield made
        made.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def done(lane: Lane) -> bool:
    return bool(lane.slabs) and lane.slabs[-1].last


def test_a_bag_goes_from_packets_to_slabs_and_to_the_spool(lane: Lane) -> None:
    lane.scan("a", 1, FRAMES)
    lane.until(lambda: done(lane))
    spooled = list(Spool(lane.config.state_dir / "spool").slabs("a"))
    assert [slab for slab, _ in spooled] == lane.slabs
    last = check_protocol(cast("Any", spooled))
    assert last.fault is None
    assert last.lost_frames == 0
    assert lane.service.ledger.finished == ("a",)
    assert lane.service.loop.counters["bags"] == 1


def test_a_readout_that_died_in_a_bag_ends_it_when_it_is_back(lane: Lane) -> None:
    lane.scan("a", 1, FRAMES[:80])
    lane.until(lambda: bool(lane.slabs))
    lane.start()
    lane.until(lambda: done(lane))
    assert [slab.index for slab in lane.slabs] == list(range(len(lane.slabs)))
    assert lane.slabs[-1].fault is Fault.SERVICE_RESTART
    # The events come again from the bridge; the bag stays ended, the next one is fine.
    lane.scan("b", 3, LATER)
    lane.until(lambda: {s.bag_id for s in lane.slabs if s.last} == {"a", "b"})
    assert [slab.fault for slab in lane.slabs if slab.last] == [Fault.SERVICE_RESTART, None]


def test_slabs_wait_on_disk_while_retrieval_is_away_even_across_a_restart(lane: Lane) -> None:
    assert lane.retrieval is not None
    endpoint = lane.service.slabs.last_endpoint
    assert isinstance(endpoint, bytes)
    lane.service.slabs.disconnect(endpoint.rstrip(b"\0"))
    lane.scan("a", 1, FRAMES)
    lane.until(lambda: not lane.due and not lane.service.engine.open_bags)
    assert len(lane.service.outbox) > 2
    assert lane.slabs == []
    assert lane.service.ledger.finished == ()
    lane.start()
    lane.until(lambda: done(lane))
    assert [slab.index for slab in lane.slabs] == list(range(len(lane.slabs)))
    assert lane.slabs[-1].fault is None


def test_a_full_disk_ends_the_bag_with_a_reason(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, frames: object) -> tuple[int, int]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.spool.SpoolWriter.append", full)
    lane.scan("a", 1, FRAMES)
    lane.until(lambda: done(lane))
    assert [slab.fault for slab in lane.slabs] == [Fault.DETECTOR_FAULT]
    monkeypatch.undo()
    lane.scan("b", 3, LATER)
    lane.until(lambda: lane.slabs[-1].bag_id == "b" and done(lane))
    assert lane.slabs[-1].fault is None


def test_without_an_archive_only_the_newest_bags_stay_on_disk(lane: Lane) -> None:
    store = Spool(lane.config.state_dir / "spool")
    for number in range(KEEP_WITHOUT_ARCHIVE + 5):
        store.writer(f"old-{number:02d}").close()
    lane.scan("a", 1, FRAMES)
    lane.until(lambda: done(lane))
    assert len(store.bags()) <= KEEP_WITHOUT_ARCHIVE + 1
    assert "a" in store.bags()
