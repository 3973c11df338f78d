"""Subscribers of ``darklane bench feed``, in processes of their own: one that measures, and a crowd.

``python -m edge.bench.feed_readers`` prints ``ready`` at its first fresh heartbeat, and its figures as JSON at the end.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import zmq

from edge import topics
from edge.client import Keys, connection

#: Sent until a reader has heard one that is fresh, so that nothing older is under way: ms.
WARM, FRESH_MS = topics.LANE_STATE.encode(), 200.0
COUNTED = topics.BAG_VERDICT.encode()
#: A reader that hears nothing for so long gives up, s.
PATIENCE_S = 60.0
#: A sender of garbage connects so often, s.
GARBAGE_S = 0.1


class Reader:
    """A reader's process, seen from the sender."""

    def __init__(self, address: str, count: int, keys: Path | None, *crowd: str, core: int | None = None) -> None:
        """``core``: the only one that it may use; None: any."""
        command = [sys.executable, "-m", "edge.bench.feed_readers", address, str(count), *crowd]
        if keys is not None:
            command += ["--keys", str(keys)]
        if core is not None:
            command += ["--core", str(core)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._lines = self._process.stdout

    def wait(self, warm: Callable[[], None]) -> None:
        """Call ``warm`` until the reader has heard something."""
        poller = zmq.Poller()
        poller.register(self._lines.fileno(), zmq.POLLIN)
        until = time.monotonic() + PATIENCE_S
        while not poller.poll(10):
            warm()
            if time.monotonic() > until:
                raise RuntimeError("a subscriber of the benchmark heard nothing")
        self._lines.readline()

    def figures(self) -> dict[str, Any]:
        """What it measured."""
        read: dict[str, Any] = json.loads(self._lines.readline())
        self._process.wait()
        return read

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._lines.close()


def _is_fresh(frames: list[bytes], now_ns: int) -> bool:
    """Whether it is a heartbeat that was sent just now; its time is this machine's monotonic clock."""
    return frames[0] == WARM and (now_ns - msgpack.unpackb(frames[1])["t_ns"]) / 1e6 < FRESH_MS


def measure(feed: zmq.Socket[bytes], count: int) -> dict[str, Any]:
    """Take ``count`` verdicts; when the last came, and the age of each, from the clock that the sender put in."""
    said = False
    arrived: list[tuple[int, bytes]] = []
    while len(arrived) < count and feed.poll(round(PATIENCE_S * 1e3)):
        frames = feed.recv_multipart()
        now = time.monotonic_ns()
        if not said and _is_fresh(frames, now):
            print("ready", flush=True)
            said = True
        if said and frames[0] == COUNTED:
            arrived.append((now, frames[1]))
    ages = [(now - msgpack.unpackb(header)["t_ns"]) / 1e6 for now, header in arrived]
    return {"received": len(arrived), "arrived_ns": [now for now, _ in arrived], "ages_ms": ages}


def crowd(address: str, keys: Keys | None, numbers: tuple[int, int, int]) -> None:
    """Subscribers that read, that never read, and strangers that send garbage, until somebody ends the process."""
    good, stuck, garbage = numbers
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    poller = zmq.Poller()
    kept = []
    for _ in range(good):
        kept.append(connection.subscriber(context, address, connection.TOPICS, keys))
        poller.register(kept[-1], zmq.POLLIN)
    kept += [_stuck(context, address, keys) for _ in range(stuck)]
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    rng, due = random.Random(1), 0.0  # noqa: S311
    waiting = set(kept[:good])
    while True:
        for readable, _ in poller.poll(round(GARBAGE_S * 1e3)):
            if _is_fresh(readable.recv_multipart(), time.monotonic_ns()):
                waiting.discard(readable)
            if not waiting and good:
                print("ready", flush=True)
                good = 0
        if time.monotonic() >= due:
            due = time.monotonic() + GARBAGE_S
            for _ in range(garbage):
                with sockets.create_connection((host, int(port)), timeout=1.0) as raw:
                    raw.sendall(rng.randbytes(4096))


def _stuck(context: zmq.Context[zmq.Socket[bytes]], address: str, keys: Keys | None) -> zmq.Socket[bytes]:
    """A subscriber that nobody reads, with so little room that the publisher soon feels it."""
    made: zmq.Socket[bytes] = context.socket(zmq.SUB)
    made.linger, made.rcvhwm, made.rcvbuf = 0, 1, 4096
    if keys is not None:
        made.curve_serverkey, made.curve_publickey, made.curve_secretkey = keys.server, keys.public, keys.secret
    made.connect(address)
    made.subscribe("")
    return made


def main() -> None:
    """One reader, or with three numbers a crowd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("count", type=int)
    parser.add_argument("crowd", type=int, nargs="*", help="good, stuck, garbage")
    parser.add_argument("--keys", type=Path, help="folder with server.key and client.key_secret")
    parser.add_argument("--core", type=int, help="use this one only")
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    keys = Keys.load(options.keys / "server.key", options.keys / "client.key_secret") if options.keys else None
    if options.crowd:
        good, stuck, garbage = options.crowd
        crowd(options.address, keys, (good, stuck, garbage))
        return
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with connection.subscriber(context, options.address, connection.TOPICS, keys) as feed:
        print(json.dumps(measure(feed, options.count)), flush=True)
    context.term()


if __name__ == "__main__":
    main()
