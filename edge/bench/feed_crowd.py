"""What other subscribers of the gateway cost one, whether they read or are hostile: ``darklane bench feed``.

The gateway is the real service in a process of its own. This process decides: it writes the journal as the verdict
service does, disk included, and publishes on the lane's bus. The others stand on other computers in reality; here
they have the last core of this one for themselves, and everything else has the rest, whether they are there or not.
"""

from __future__ import annotations

import os
import random
import socket as sockets
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from edge import topics
from edge.bench.feed import LOCAL, RATE_HZ, make_keys, verdict
from edge.bench.feed_readers import Reader
from edge.bus import Bus
from edge.config import Config, dump
from edge.messages import Hello, LaneState, Message
from edge.security.keys import FOLDER
from edge.verdict.actions import BagRecord, Now
from edge.verdict.feed import Feed
from edge.verdict.journal import FILE_NAME
from edge.verdict.recorder import Recorder

#: Sent at once before, so that who does not read has full queues: kernel buffers of 4 MB and the gateway's queue.
FLOOD = 6000
#: Only those who subscribed to everything get it: the stuck ones. The others would be busy with the flood for long.
UNKNOWN_TOPIC = "flood"
#: Beside the one that measures: well-behaved, stuck, and sending garbage.
CROWDS: dict[str, tuple[int, int, int]] = {"alone": (0, 0, 0), "well-behaved": (39, 0, 0), "hostile": (39, 5, 5)}
#: Resamples of a confidence interval, and its share.
RESAMPLES, SHARE = 2000, 0.95
#: Long after the feed's hold.
_LATER = Now(0, 1 << 62)


class Lane:
    """Decides and publishes; owns the gateway's process."""

    def __init__(self, folder: Path, curve: bool) -> None:
        with sockets.create_server(("127.0.0.1", 0)) as free:
            self.address = f"{LOCAL}:{free.getsockname()[1]}"
        table = {"lane": {"state_dir": str(folder)}, "gateway": {"feed": self.address, "curve": curve}}
        config = Config.model_validate(table)
        (folder / "lane.toml").write_text(dump(config), encoding="utf-8")
        self._bus = Bus(config.run_dir, "verdict")
        self._feed = Feed(self._bus, Now(0, 0))
        self._recorder = Recorder(folder / FILE_NAME, boot_id="bench")
        self._recorder.open(Now(0, 0))
        command = [sys.executable, "-m", "edge.gateway.main", "--config", str(folder / "lane.toml")]
        self._process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def say(self, topic: str, message: Message) -> None:
        """On the lane's bus; its time is this machine's monotonic clock."""
        self._feed.publish(topic, message, _LATER._replace(wall=time.monotonic_ns()))

    def warm(self) -> None:
        """What a lane says without bags."""
        self.say(topics.HELLO, Hello(lane="bench"))
        self.say(topics.LANE_STATE, LaneState(state="READY"))

    def decide(self) -> int:
        """Journal a verdict and publish it, as the verdict service does; ns when it was published."""
        seq = self._recorder.last_seq + 1
        self._recorder.bag(BagRecord(f"B{seq}", "", seq, seq, 0, 0, 0))
        stamped = self._recorder.verdict(verdict(seq), Now(time.monotonic_ns(), 0))
        assert stamped is not None
        published = time.monotonic_ns()
        self._feed.publish(topics.BAG_VERDICT, stamped, _LATER)
        self._recorder.published(seq)
        return published

    def flood(self) -> None:
        """Fill the queues of who does not read."""
        for index in range(FLOOD):
            self.say(UNKNOWN_TOPIC, verdict(0))
            if index % 100 == 99:
                time.sleep(0.05)  # as fast as the gateway passes on, so that its own queue does not fill

    def close(self) -> None:
        """End the service."""
        self._process.terminate()
        self._process.wait()
        self._recorder.close()
        self._bus.close()


def hostile(curve: bool, number: int, rounds: int) -> dict[str, Any]:
    """Ages at one subscriber with each of :data:`CROWDS` in turn: since the decision, and since the publication."""
    ages: dict[str, dict[str, list[float]]] = {name: {"decided": [], "published": []} for name in CROWDS}
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:-1] or cores)
    try:
        with TemporaryDirectory(prefix="dlb") as made:
            folder = Path(made)
            keys = folder / FOLDER if curve else None
            if keys is not None:
                make_keys(keys)
            lane = Lane(folder, curve)
            try:
                for _ in range(rounds):
                    for name, crowd in CROWDS.items():
                        for since, found in _beside(lane, keys, crowd, number, cores[-1]).items():
                            ages[name][since] += found
            finally:
                lane.close()
    finally:
        os.sched_setaffinity(0, cores)
    alone = ages["alone"]
    return {
        name: {since: compared(found[since], alone[since]) for since in ("decided", "published")}
        for name, found in ages.items()
    }


def compared(ages: list[float], alone: list[float]) -> dict[str, Any]:
    """Median and 99th percentile, ms; ratio of the medians and its interval, by resampling both."""
    rng = random.Random(1)  # noqa: S311
    ratios = sorted(
        statistics.median(rng.choices(ages, k=len(ages))) / statistics.median(rng.choices(alone, k=len(alone)))
        for _ in range(RESAMPLES)
    )
    cut = round((1 - SHARE) / 2 * RESAMPLES)
    return {
        "received": len(ages),
        "median_ms": statistics.median(ages),
        "p99_ms": sorted(ages)[int(0.99 * (len(ages) - 1))],
        "ratio": statistics.median(ages) / statistics.median(alone),
        "ratio_from": ratios[cut],
        "ratio_to": ratios[-1 - cut],
    }


def _beside(
    lane: Lane, keys: Path | None, crowd: tuple[int, int, int], number: int, core: int
) -> dict[str, list[float]]:
    others = Reader(lane.address, 0, keys, *map(str, crowd), core=core) if any(crowd) else None
    try:
        if others is not None:
            others.wait(lane.warm)
        if crowd[1]:
            lane.flood()
        # The last to connect is the last to be served.
        reader = Reader(lane.address, number, keys)
        try:
            reader.wait(lane.warm)
            published = _paced(lane, number)
            figures = reader.figures()
        finally:
            reader.stop()
    finally:
        if others is not None:
            others.stop()
    arrived = zip(published, figures["arrived_ns"], strict=True)
    return {"decided": figures["ages_ms"], "published": [(now - sent) / 1e6 for sent, now in arrived]}


def _paced(lane: Lane, number: int) -> list[int]:
    """Decide at the benchmark's rate; ns of each publication."""
    published = []
    due = time.monotonic()
    for _ in range(number):
        due += 1 / RATE_HZ
        time.sleep(max(0.0, due - time.monotonic()))
        published.append(lane.decide())
    return published
