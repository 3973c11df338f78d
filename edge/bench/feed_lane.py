"""What fifty subscribers cost one on a whole lane: ``python -m edge.bench.feed_lane [--bags N]``.

Emulated scanner (simulated x-rays), real services, journal on the disk. The same small bag again and again; the others
come and go every BLOCK bags. Ages of verdicts at one subscriber of the gateway: since the bag's last frame, and since
the decision. The others stand on other computers in reality; here they have the last core.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import zmq

from edge import wire
from edge.bench.feed import LOCAL
from edge.bench.feed_crowd import CROWDS, compared
from edge.bench.feed_readers import Reader
from edge.client import connection
from edge.config import Config
from edge.lane import Lane
from edge.messages import Verdict

BLOCK: Final = 8
ARMS: Final = ("alone", "hostile")
#: An age needs the crowd as it is from the bag's entry to its verdict.
_Heard = dict[str, tuple[float, float]]


def free_port(kind: socket.SocketKind) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def configuration(state_dir: Path, time_scale: float) -> Config:
    """A lane of 64 rows with a gateway; plain, because encryption is the same for both arms."""
    return Config.model_validate(
        {
            "lane": {"state_dir": str(state_dir)},
            "scanner": {"native_rows": 256},
            "detector": {"port": free_port(socket.SOCK_DGRAM)},
            "detector_control": {"port": free_port(socket.SOCK_STREAM)},
            "archive": {"sheets": False},
            "gateway": {"feed": f"{LOCAL}:{free_port(socket.SOCK_STREAM)}", "curve": False},
            "emulator": {"time_scale": time_scale},
        }
    )


def listen(address: str) -> None:
    """The subscriber that is measured: one line for each final verdict, with its ages in ms."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with connection.subscriber(context, address, connection.TOPICS, None) as feed:
        while True:
            frames = feed.recv_multipart()
            now = time.time_ns()
            message = wire.decode_any(frames)[1]
            if isinstance(message, Verdict) and message.final and message.latency_ms is not None:
                decided = (now - message.t_ns) / 1e6
                print(json.dumps([message.bag_id, decided, decided + message.latency_ms]), flush=True)


class Bench:
    """Runs the lane and notes which bags passed while the crowd was as it should be."""

    def __init__(self, config: Config, plan: Path) -> None:
        self.lane = Lane(config, emulate=True, plan=str(plan), say=lambda line: print(line, file=sys.stderr))
        self.address = config.gateway.feed
        #: Bag to the arm in which it entered; taken out when that ends before its verdict.
        self.arm_of: dict[str, str] = {}
        self.ages: dict[str, _Heard] = {arm: {} for arm in ARMS}
        self._arm = ""
        self._done = 0

    def step(self) -> None:
        """A moment of the lane."""
        new = self.lane.step()
        for bag_id in self.lane.result.entered:
            self.arm_of.setdefault(bag_id, self._arm)
        for verdict in new:
            self._done += verdict.final

    def run(self, core: int) -> dict[str, list[str]]:
        """Bags of each arm that entered and had their verdict within it."""
        kept: dict[str, list[str]] = {arm: [] for arm in ARMS}
        others: Reader | None = None
        try:
            for number in range(1_000_000):
                arm = ARMS[number % len(ARMS)]
                if any(CROWDS[arm]):
                    others = Reader(self.address, 0, None, *map(str, CROWDS[arm]), core=core)
                    others.wait(self.step)
                self._arm, self._done = f"{arm} {number}", 0
                while self._done <= BLOCK and not self.lane.finished:
                    self.step()
                decided = self.lane.result.verdicts
                kept[arm] += [bag for bag, began in self.arm_of.items() if began == self._arm and bag in decided]
                self._arm = ""
                if others is not None:
                    others.stop()
                    others = None
                if self.lane.finished:
                    return kept
        finally:
            if others is not None:
                others.stop()
        return kept


def measure(bags: int, time_scale: float, calibrated: Path | None) -> dict[str, Any]:
    """Ages of the bags of both arms, compared; ``calibrated``: state directory of such a lane, for its calibration."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="dlb") as name:
        state_dir = Path(name)
        if calibrated is not None:
            shutil.copytree(calibrated / "calibration", state_dir / "calibration")
            (state_dir / "dev").mkdir()
            shutil.copy(calibrated / "dev" / "positions.json", state_dir / "dev")
        plan = state_dir / "plan.json"
        items = [{"kind": "phone", "seed": 700_001, "tag": f"F{bag}"} for bag in range(bags)]
        plan.write_text(json.dumps({"items": items}), encoding="utf-8")
        bench = Bench(configuration(state_dir, time_scale), plan)
        with bench.lane:
            command = [sys.executable, "-m", "edge.bench.feed_lane", "--listen", bench.address]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:
                kept = bench.run(cores[-1])
                # What it has printed is in the pipe.
                listener.terminate()
                assert listener.stdout is not None
                ages = {bag: (decided, frame) for bag, decided, frame in map(json.loads, listener.stdout)}
    found = {arm: [ages[bag] for bag in kept[arm] if bag in ages] for arm in ARMS}
    return {
        since: {arm: compared([age[i] for age in found[arm]], [age[i] for age in found["alone"]]) for arm in ARMS}
        for i, since in enumerate(("decided", "last frame"))
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bags", type=int, default=100)
    parser.add_argument("--time-scale", type=float, default=4.0)
    parser.add_argument("--calibrated", type=Path, help="state directory of a lane of 256 rows that is calibrated")
    parser.add_argument("--listen", help="be the subscriber of this address")
    options = parser.parse_args()
    if options.listen:
        listen(options.listen)
        return
    before = os.getloadavg()[0]
    figures = measure(options.bags, options.time_scale, options.calibrated)
    print(json.dumps(figures | {"load_average": [before, os.getloadavg()[0]]}, indent=1))


if __name__ == "__main__":
    main()
