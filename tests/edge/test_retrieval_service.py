"""The retrieval service as a process: sockets, back-pressure, what it does with rubbish, how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq

from edge import wire
from edge.bus import Bus
from edge.config import Config, Lane, dump
from edge.messages import Fault, ImageSlab, ServiceStatus
from edge.services import endpoint
from tests.calibration.synthetic import SCANNER, bundle
from tests.edge.test_retrieval import NOW, make_slab

PATIENCE_MS = 20_000


@dataclass
class Peers:
    """The services around retrieval, played by the test."""

    bus: Bus
    slabs: zmq.Socket[bytes]
    images: zmq.Socket[bytes]
    tap: zmq.Socket[bytes]
    status: zmq.Socket[bytes]
    process: subprocess.Popen[bytes]

    def image(self, sock: zmq.Socket[bytes]) -> ImageSlab:
        assert sock.poll(PATIENCE_MS), "no images"
        topic, message, arrays = self.bus.receive(sock, ImageSlab)
        assert topic == "images"
        assert arrays["images"].shape == (4, 2, message.rows, message.columns)
        return message

    def next_status(self) -> ServiceStatus:
        assert self.status.poll(PATIENCE_MS), "no status"
        return self.bus.receive(self.status, ServiceStatus)[1]

    def waits(self) -> bool:
        """Whether the service has said since the last call that something waits for inference."""
        told = []
        while self.status.poll(0):
            told.append(self.bus.receive(self.status, ServiceStatus)[1].queue)
        return 1 in told


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[Peers]:
    config = Config(lane=Lane(state_dir=tmp_path), scanner=SCANNER)
    bundle(NOW).save(tmp_path / "calibration")
    file = tmp_path / "lane.toml"
    file.write_text(dump(config), encoding="utf-8")
    bus = Bus(config.run_dir, "test")
    images = bus.socket("images", zmq.PULL, bind=True)
    status = bus.socket("status", zmq.PULL, bind=True)
    slabs = bus.socket("slabs", zmq.PUSH, bind=False)
    tap = bus.subscriber("image-tap", "images")
    with subprocess.Popen([sys.executable, "-m", "edge.retrieval.main", "--config", str(file)]) as process:
        try:
            peers = Peers(bus, slabs, images, tap, status, process)
            while peers.next_status().state != "ready":
                pass
            yield peers
        finally:
            process.kill()
            process.wait()
            bus.close()


def test_slabs_become_images_on_both_outputs_and_sigterm_ends_it(peers: Peers) -> None:
    made = bundle(NOW)
    # A subscriber may join late: say hello until the tap is heard.
    while not peers.tap.poll(50):
        peers.bus.send(peers.slabs, "slab", *make_slab(None, bag_id="hello", last=True))
        assert peers.image(peers.images).fault is Fault.CALIBRATION_EXPIRED
    for index in (0, 1):
        slab, arrays = make_slab(made, index, last=index == 1)
        peers.bus.send(peers.slabs, "slab", slab, arrays)
    for sock in (peers.images, peers.tap):
        received: list[ImageSlab] = []
        while len(received) < 2:
            message = peers.image(sock)
            received += [message] if message.bag_id != "hello" else []
        assert [(m.index, m.last, m.fault) for m in received] == [(0, False, None), (1, True, None)]
        assert {m.calibration_id for m in received} == {made.id}
        assert all(m.source == "retrieval" and m.boot_id for m in received)
    peers.process.send_signal(signal.SIGTERM)
    assert peers.process.wait(10) == 0


def test_rubbish_is_dropped_and_the_bag_that_lost_a_slab_is_given_up(peers: Peers) -> None:
    made = bundle(NOW)
    slab, arrays = make_slab(made)
    peers.slabs.send_multipart([b"slab", b"\xc1 not msgpack"])
    frames = wire.encode("slab", peers.bus.stamp(slab), arrays)
    peers.slabs.send_multipart([*frames[:-1], b"short"])
    peers.bus.send(peers.slabs, "slab", *make_slab(made, 1))
    assert peers.image(peers.images).fault is Fault.SERVICE_RESTART
    peers.bus.send(peers.slabs, "slab", *make_slab(made, bag_id="bag-2"))
    assert peers.image(peers.images).fault is None
    assert peers.process.poll() is None


def test_a_slow_inference_stops_the_reading_but_not_the_service(peers: Peers) -> None:
    made = bundle(NOW)
    slab, arrays = make_slab(made)
    # Nobody takes images: the queue to inference fills on both its sides, then that of slabs.
    limit = 8 * endpoint("slabs").hwm
    sent = 0
    deadline = time.monotonic() + PATIENCE_MS / 1e3
    while not peers.waits():
        assert time.monotonic() < deadline
        while sent < limit and peers.slabs.poll(100, zmq.POLLOUT):
            extra = slab.model_copy(update={"bag_id": f"bag-{sent}", "last": True})
            peers.bus.send(peers.slabs, "slab", extra, arrays)
            sent += 1
    # A service that read on would have taken them all.
    assert sent < limit
    bags = [peers.image(peers.images).bag_id for _ in range(sent)]
    assert bags == [f"bag-{n}" for n in range(sent)]


def test_a_backend_that_is_not_there_is_named_at_start(tmp_path: Path) -> None:
    config = Config.model_validate({"lane": {"state_dir": str(tmp_path)}, "retrieval": {"backend": "cuda"}})
    file = tmp_path / "lane.toml"
    file.write_text(dump(config), encoding="utf-8")
    command = [sys.executable, "-m", "edge.retrieval.main", "--config", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "retrieval.backend = cuda" in ended.stderr
    assert "Traceback" not in ended.stderr
