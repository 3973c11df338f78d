"""``karabo_bridge.Client`` 0.7, unmodified, reads verdicts and images: REQ and SUB, plain and with CURVE."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import zmq

from edge.gateway.karabo import KEPT, MAX_CLIENTS, KaraboBridge, encode
from edge.messages import CHANNELS, BagImage
from tests.edge.feed_gateway import verdict

karabo_bridge = pytest.importorskip("karabo_bridge", reason="extra judges: karabo-bridge")
PATIENCE_S = 30
SERVER = zmq.curve_keypair()


def preview(bag_id: str) -> tuple[BagImage, np.ndarray]:
    pixels = np.arange(4 * 2 * 3 * 5, dtype=np.float32).reshape(4, 2, 3, 5)
    pixels[0, 0, 0, 0] = np.nan
    return BagImage(bag_id=bag_id, rows=3, columns=5, channels=CHANNELS, pixel_mm=(1.2, 1.2), preview=True), pixels


class Bench:
    """A bridge on loopback, and clients of others."""

    def __init__(self, secure: bool) -> None:
        self.secure = secure
        self.context = zmq.Context()
        self.replies, self.publisher = (self._bound(kind) for kind in (zmq.ROUTER, zmq.PUB))
        self.bridge = KaraboBridge("lane-1")
        self.bridge.replies, self.bridge.publisher = self.replies, self.publisher
        self.clients: list[Any] = []

    def _bound(self, kind: int) -> zmq.Socket[bytes]:
        made: zmq.Socket[bytes] = self.context.socket(kind)
        made.linger = 0
        if self.secure:
            made.curve_server = True
            made.curve_publickey, made.curve_secretkey = SERVER
        made.bind("tcp://127.0.0.1:*")
        return made

    def client(self, kind: str) -> Any:
        context = zmq.Context()
        if self.secure:
            # The client makes its socket from this context: options of the context are those of its sockets.
            public, secret = zmq.curve_keypair()
            for option, value in (
                (zmq.CURVE_SERVERKEY, SERVER[0]),
                (zmq.CURVE_PUBLICKEY, public),
                (zmq.CURVE_SECRETKEY, secret),
            ):
                context.setsockopt(option, value)
        socket = self.replies if kind == "REQ" else self.publisher
        address = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self.clients.append(karabo_bridge.Client(address, sock=kind, timeout=PATIENCE_S, context=context))
        return self.clients[-1]

    def while_serving(self, act: Callable[[], Any]) -> Any:
        """Run ``act`` in a thread and serve until it is through."""
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.append(act()))
        thread.start()
        while thread.is_alive():
            self.replies.poll(20)
            self.bridge.serve()
        return results[0]

    def close(self) -> None:
        for client in self.clients:
            client._socket.close(0)
            client._context.term()
        self.replies.close(0)
        self.publisher.close(0)
        self.context.term()


@pytest.fixture(params=["plain", "curve"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param == "curve")
    yield made
    made.close()


@pytest.fixture
def plain() -> Iterator[Bench]:
    made = Bench(secure=False)
    yield made
    made.close()


def check(read: tuple[dict[str, Any], dict[str, Any]], seq: int, image: bool) -> None:
    data, meta = read
    assert data["lane-1/verdict"]["bag_id"] == f"B{seq}"
    assert data["lane-1/verdict"]["decision"] == "UNKNOWN"
    about = meta["lane-1/verdict"]
    t_ns = verdict(seq).t_ns
    assert about["timestamp.tid"] == seq
    assert int(about["timestamp.sec"]) == t_ns // 10**9
    assert len(about["timestamp.frac"]) == 18
    assert int(about["timestamp.sec"]) * 10**18 + int(about["timestamp.frac"]) == t_ns * 10**9
    assert about["timestamp"] == pytest.approx(t_ns / 1e9)
    assert ("lane-1/image" in data) == image
    if image:
        assert data["lane-1/image"]["channels"] == list(CHANNELS)
        assert np.array_equal(data["lane-1/image"]["image"], preview("x")[1], equal_nan=True)


def test_a_req_client_reads_bags_with_and_without_image(bench: Bench) -> None:
    bench.bridge.image(*preview("B1"))
    bench.bridge.verdict(verdict(1))
    client = bench.client("REQ")
    check(bench.while_serving(client.next), 1, True)
    bench.bridge.verdict(verdict(2))
    bench.bridge.verdict(verdict(3))
    check(bench.while_serving(client.next), 2, False)
    check(bench.while_serving(client.next), 3, False)


def test_a_sub_client_reads_bags(bench: Bench) -> None:
    client = bench.client("SUB")
    heard: list[Any] = []
    thread = threading.Thread(target=lambda: heard.append(client.next()))
    thread.start()
    sent = 0
    # PUB tells nobody who is there: one bag after the other until the client has one.
    while thread.is_alive():
        sent += 1
        bench.bridge.image(*preview(f"B{sent}"))
        bench.bridge.verdict(verdict(sent))
        thread.join(0.02)
    check(heard[0], heard[0][1]["lane-1/verdict"]["timestamp.tid"], True)


def test_one_that_waits_holds_up_nobody_and_each_gets_every_bag(plain: Bench) -> None:
    bench = plain
    sockets = []
    for name in (b"one", b"two"):
        socket = bench.context.socket(zmq.DEALER)
        socket.routing_id, socket.linger = name, 0
        socket.connect(bench.replies.getsockopt_string(zmq.LAST_ENDPOINT))
        sockets.append(socket)
    one, two = sockets

    def ask(socket: zmq.Socket[bytes], *frames: bytes) -> None:
        socket.send_multipart(frames)
        assert bench.replies.poll(PATIENCE_S * 1000)
        bench.bridge.serve()

    def train(socket: zmq.Socket[bytes]) -> int:
        assert socket.poll(PATIENCE_S * 1000)
        return int(karabo_bridge.deserialize(socket.recv_multipart())[1]["lane-1/verdict"]["timestamp.tid"])

    ask(one, b"next")
    ask(two, b"junk")
    ask(two, b"next")
    assert bench.bridge.dropped == 1
    for seq in range(1, 4):
        bench.bridge.verdict(verdict(seq))
    assert [train(one), train(two)] == [1, 1]
    ask(one, b"next")
    ask(one, b"next")
    assert [train(one), train(one)] == [2, 3]
    for seq in range(4, 4 + KEPT):
        bench.bridge.verdict(verdict(seq))
    ask(two, b"next")
    assert train(two) == 4  # 2 and 3 are gone, and the train id says so
    for socket in sockets:
        socket.close(0)


def test_memory_is_bounded_whoever_asks() -> None:
    class Flood:
        """Every request comes from a new client."""

        number = 0

        def recv_multipart(self, flags: int) -> list[bytes]:
            self.number += 1
            return [b"%d" % self.number, b"", b"next"]

    bridge = KaraboBridge("lane-1")
    bridge.replies = Flood()  # type: ignore[assignment]
    bridge.serve(limit=2000)
    assert len(bridge._waiting) == len(bridge._clients) == MAX_CLIENTS
    for number in range(100):
        bridge.image(*preview(f"B{number}"))
    assert len(bridge._images) == 16


def test_a_verdict_that_comes_again_is_one_bag() -> None:
    bridge = KaraboBridge("lane-1")
    for seq in (1, 2, 1, 2):
        bridge.verdict(verdict(seq))
    assert len(bridge._kept) == 2


def test_every_frame_pair_is_what_the_protocol_says() -> None:
    frames = encode("lane-1", verdict(7), preview("B7"))
    assert len(frames) == 6
    array = np.frombuffer(frames[5], np.float32)
    assert array.size == 4 * 2 * 3 * 5
