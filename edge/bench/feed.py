"""What the feed costs beside bare ZeroMQ, and what hostile subscribers cost the others; measured on this machine."""

from __future__ import annotations

import logging
import socket as sockets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import zmq

from edge import topics, wire
from edge.bench.feed_readers import Reader
from edge.bus import Bus
from edge.config import Config, dump
from edge.fanout import Fanout
from edge.messages import Candidate, DetectedObject, Hello, LaneState, Verdict
from edge.security import key_file
from edge.security.guard import Guard
from edge.security.keys import FOLDER, KeyStore
from edge.security.refusals import Refusals

#: Messages a second while latencies are measured.
RATE_HZ = 20.0
#: Sent at once before, so that who does not read has full queues: kernel buffers of 4 MB and the gateway's queue.
FLOOD = 6000
#: Well-behaved, stuck, and sending garbage; one more measures.
CROWD = (39, 5, 5)
LOCAL = "tcp://127.0.0.1"

log = logging.getLogger("bench")


def payload(seq: int) -> list[bytes | memoryview]:
    """A verdict with two objects, as it goes over the wire; its time is this machine's monotonic clock."""
    found = DetectedObject(
        box=(10, 10, 60, 60),
        polygon=tuple((float(n), float(n)) for n in range(12)),
        area_mm2=640.0,
        probability=0.97,
        category="explosive",
        candidates=tuple(Candidate(material=f"material-{n}", probability=0.3, threat=True) for n in range(3)),
        features={"R_df": 6.9, "R_ab": 1.62, "R_of": 1.1},
    )
    verdict = Verdict(
        bag_id=f"B{seq}", seq=seq, decision="ALARM", iata="REJ", objects=(found, found), t_ns=time.monotonic_ns(),
        calibration_id="cal-0123456789abcdef", model_id="bench", source="bench",
    )  # fmt: skip
    return wire.encode(topics.BAG_VERDICT, verdict)


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
    return number / ((int(figures["last_ns"]) - begun) / 1e9)


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


class Gateway:
    """The real service in a process of its own, fed by this one over the lane's bus."""

    def __init__(self, folder: Path, curve: bool) -> None:
        with sockets.create_server(("127.0.0.1", 0)) as free:
            self.address = f"{LOCAL}:{free.getsockname()[1]}"
        table = {"lane": {"state_dir": str(folder)}, "gateway": {"feed": self.address, "curve": curve}}
        config = Config.model_validate(table)
        (folder / "lane.toml").write_text(dump(config), encoding="utf-8")
        self._bus = Bus(config.run_dir, "verdict")
        self._fanout = Fanout(self._bus.socket("feed", zmq.XPUB, bind=True), log)
        command = [sys.executable, "-m", "edge.gateway.main", "--config", str(folder / "lane.toml")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def send(self, frames: list[bytes | memoryview]) -> None:
        """On the lane's bus."""
        self._fanout.send(frames)

    def warm(self) -> None:
        """What a lane says without bags."""
        self.send(wire.encode(topics.HELLO, Hello(lane="bench")))
        self.send(heartbeat())

    def close(self) -> None:
        """End the service."""
        self._process.terminate()
        self._process.wait()
        self._bus.close()


def hostile(curve: bool, number: int, rounds: int) -> dict[str, Any]:
    """Latency of one subscriber through the gateway: alone, beside well-behaved others, and beside hostile ones too."""
    crowds: dict[str, tuple[int, int, int]] = {"alone": (0, 0, 0), "well-behaved": (CROWD[0], 0, 0), "hostile": CROWD}
    ages: dict[str, list[float]] = {name: [] for name in crowds}
    with TemporaryDirectory(prefix="dlb") as made:
        folder = Path(made)
        keys = folder / FOLDER if curve else None
        if keys is not None:
            make_keys(keys)
        gateway = Gateway(folder, curve)
        try:
            seq = 1
            for _ in range(rounds):
                for name, crowd in crowds.items():
                    ages[name] += _beside(gateway, keys, crowd, number, seq)
                    seq += number + FLOOD
        finally:
            gateway.close()
    return {name: summary({"ages_ms": found}) for name, found in ages.items()}


def _beside(gateway: Gateway, keys: Path | None, crowd: tuple[int, int, int], number: int, seq: int) -> list[float]:
    others = Reader(gateway.address, 0, keys, *map(str, crowd)) if any(crowd) else None
    try:
        if others is not None:
            others.wait(gateway.warm)
        for index in range(FLOOD if crowd[1] else 0):
            gateway.send(payload(seq + number + index))
            if index % 100 == 99:
                time.sleep(0.05)  # as fast as the gateway passes on, so that its own queue does not fill
        reader = Reader(gateway.address, number, keys)
        try:
            reader.wait(gateway.warm)
            paced(gateway.send, number, seq)
            found: list[float] = reader.figures()["ages_ms"]
            return found
        finally:
            reader.stop()
    finally:
        if others is not None:
            others.stop()
