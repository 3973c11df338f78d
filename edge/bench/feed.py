"""What the feed costs beside bare ZeroMQ, measured on this machine."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from edge import topics, wire
from edge.bench.feed_readers import Reader
from edge.fanout import Fanout
from edge.messages import Candidate, DetectedObject, LaneState, Verdict
from edge.security import key_file
from edge.security.guard import Guard
from edge.security.keys import KeyStore
from edge.security.refusals import Refusals

#: Messages a second while latencies are measured.
RATE_HZ = 20.0
LOCAL = "tcp://127.0.0.1"

log = logging.getLogger("bench")


def verdict(seq: int) -> Verdict:
    """A verdict with two objects; its time is this machine's monotonic clock."""
    found = DetectedObject(
        box=(10, 10, 60, 60),
        polygon=tuple((float(n), float(n)) for n in range(12)),
        area_mm2=640.0,
        probability=0.97,
        category="explosive",
        candidates=tuple(Candidate(material=f"material-{n}", probability=0.3, threat=True) for n in range(3)),
        features={"R_df": 6.9, "R_ab": 1.62, "R_of": 1.1},
    )
    return Verdict(
        bag_id=f"B{seq}", seq=seq, decision="ALARM", iata="REJ", objects=(found, found), t_ns=time.monotonic_ns(),
        calibration_id="cal-0123456789abcdef", model_id="bench", source="bench",
    )  # fmt: skip


def payload(seq: int) -> list[bytes | memoryview]:
    """The verdict as it goes over the wire."""
    return wire.encode(topics.BAG_VERDICT, verdict(seq))


def heartbeat() -> list[bytes | memoryview]:
    """A lane state of now."""
    return wire.encode(topics.LANE_STATE, LaneState(state="READY", t_ns=time.monotonic_ns()))


class Publisher:
    """A TCP publisher of this process: ``feed`` as the gateway makes it, or ``bare`` pyzmq."""

    def __init__(self, kind: str, keys: Path | None, queue: int) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(zmq.XPUB)
        self.socket.linger = 0
        self.socket.sndhwm = queue
        self._guard: Guard | None = None
        self.send: Callable[[list[bytes | memoryview]], Any] = self.socket.send_multipart
        if kind == "feed":
            self.send = Fanout(self.socket, log).send
        if keys is not None and kind == "feed":
            self._guard = Guard(self._context, KeyStore(keys), Refusals(lambda _: None, log), log)
            self._guard.arm(self.socket)
        elif keys is not None:
            own = KeyStore(keys).server()
            self.socket.curve_server, self.socket.curve_publickey = 1, own.public
            self.socket.curve_secretkey = own.secret
        self.socket.bind(f"{LOCAL}:*")
        self.address = self.socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def warm(self) -> None:
        """Admit who knocks, and say something."""
        if self._guard is not None and self._guard.zap.socket.poll(0):
            self._guard.zap.answer()
        self.send(heartbeat())

    def close(self) -> None:
        """Close sockets and context."""
        if self._guard is not None:
            self._guard.close()
        self.socket.close(0)
        self._context.term()


def make_keys(folder: Path) -> None:
    """The box's pair, and a client that it admits; the client's files lie in the same folder."""
    store, client = KeyStore(folder), key_file.new_key("client")
    key_file.write(folder / "server.key", store.new_server().without_secret)
    key_file.write(folder / "client.key_secret", client)
    store.allow(client.name, client.public)


def throughput(kind: str, keys: Path | None, number: int) -> float:
    """Messages a second from the first one sent to the last one received."""
    publisher = Publisher(kind, keys, number + 1000)
    reader = Reader(publisher.address, number, keys)
    try:
        reader.wait(publisher.warm)
        frames = payload(1)
        begun = time.monotonic_ns()
        for _ in range(number):
            publisher.send(frames)
        figures = reader.figures()
    finally:
        reader.stop()
        publisher.close()
    if figures["received"] != number:
        raise RuntimeError(f"{kind}: {figures['received']} of {number} messages arrived")
    return number / ((int(figures["arrived_ns"][-1]) - begun) / 1e9)


def paced(send: Callable[[list[bytes | memoryview]], Any], number: int, first: int = 1) -> None:
    """Send verdicts at :data:`RATE_HZ`."""
    due = time.monotonic()
    for seq in range(first, first + number):
        due += 1 / RATE_HZ
        time.sleep(max(0.0, due - time.monotonic()))
        send(payload(seq))


def latency(kind: str, keys: Path | None, number: int) -> dict[str, float]:
    """From making a message to its arrival, ms."""
    publisher = Publisher(kind, keys, number + 1000)
    reader = Reader(publisher.address, number, keys)
    try:
        reader.wait(publisher.warm)
        paced(publisher.send, number)
        return summary(reader.figures())
    finally:
        reader.stop()
        publisher.close()


def summary(figures: dict[str, Any]) -> dict[str, float]:
    """Median and 99th percentile of the ages, ms."""
    ages = sorted(figures["ages_ms"])
    return {"received": len(ages), "median_ms": statistics.median(ages), "p99_ms": ages[int(0.99 * (len(ages) - 1))]}
