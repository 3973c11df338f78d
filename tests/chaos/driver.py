"""Runs a lane through a storm: the emulated scanner plays its part, the driver kills, fills and floods."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from edge.client import FeedClient, Gap, Renumbered
from edge.config import Config
from edge.lane import Lane
from edge.messages import Verdict
from edge.services import SERVICES
from edge.verdict.journal import FILE_NAME
from edge.verdict.journal_reader import JournalReader
from tests.chaos.disk import SmallDisk
from tests.chaos.storm import CLOCK_S, Blow, Storm
from tests.chaos.wall_clock import WallClock
from tests.hil.conftest import small_config
from tests.ports import free_port

NAMES: Final = tuple(service.name for service in SERVICES)
#: A disk stays full so long, real s.
FULL_S: Final = 2.0
#: Score of an alarm: 1 of 78 harmless things had more in a run, and 89 of 91 bags with a threat.
THRESHOLD: Final = 0.08
#: Datagrams that are no packets of the detector, in one flood.
FLOOD: Final = 2000
#: Archive files that are kept; the older ones go, for the disk is small.
KEPT_FILES: Final = 6
#: A client has so long to catch up in the end, s.
CATCH_UP_S: Final = 30.0
#: A lane that says nothing for so long hangs, s.
PATIENCE_S: Final = 120.0


@dataclass
class Run:
    """What a run left behind: the truth, what was heard on the bus and by a client, and what was done to the lane."""

    storm: Storm
    config: Config
    truth: list[dict[str, Any]]
    heard: list[Verdict]
    client: list[Verdict | Gap | Renumbered]
    #: The client listened until it had this sequence, the journal's newest, or until its time was up.
    until_seq: int
    done: Counter[str]
    seconds: float
    said: list[str]
    #: Faults that the emulated scanner has begun.
    played: int
    #: Bag id to s from its first announcement to its final verdict, on a clock that nobody steps.
    waited: dict[str, float]
    #: Why the wall clock was not stepped; empty when it could be.
    clock_missing: str


def configuration(state_dir: Path, time_scale: float, rows: int) -> Config:
    """A small lane with bags close together and a deadline that a recovered bag can keep.

    ``rows`` of the detector. The threshold is lower than the detector's own, so that the small samples do alarm.
    """
    return small_config(
        state_dir,
        scanner={"native_rows": rows},
        inference={"threshold": THRESHOLD},
        verdict={"deadline_s": 20.0},
        archive={"sheets": False},
        gateway={
            "feed": f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}",
            "requests": f"tcp://127.0.0.1:{free_port(socket.SOCK_STREAM)}",
            "curve": False,
            "requests_per_s": 100.0,
        },
        emulator={"time_scale": time_scale, "bag_gap_mm": 30.0},
    )


class Driver:
    """Strikes when the time has come; :meth:`run` returns when the plan has ended and the lane is quiet."""

    def __init__(self, storm: Storm, config: Config, scanner_dir: Path, disk: SmallDisk) -> None:
        self.storm = storm
        self.config = config
        self.disk = disk
        self.said: list[str] = []
        self.done: Counter[str] = Counter()
        self._blows = list(storm.blows)
        self._waiting: list[tuple[float, Blow]] = []
        self._free_at: float | None = None
        self._client_items: list[Verdict | Gap | Renumbered] = []
        self._announced: dict[str, float] = {}
        self._waited: dict[str, float] = {}
        self._rng = random.Random(storm.seed)  # noqa: S311
        scanner_dir.mkdir(exist_ok=True)
        self.clock = WallClock(scanner_dir)
        # The scanner is no part of the box: what it writes is not on the box's disk.
        (config.state_dir / "dev").symlink_to(scanner_dir / "dev")
        plan = scanner_dir / "plan.json"
        plan.write_text(json.dumps(storm.plan()), encoding="utf-8")
        scripts = []
        for number, text in enumerate(storm.scripts()):
            path = scanner_dir / f"chaos-{number}.toml"
            path.write_text(text, encoding="utf-8")
            scripts.append(str(path))
        self.lane = Lane(
            config,
            emulate=True,
            plan=str(plan),
            say=self._say,
            faults=",".join(scripts),
            scanner_dir=scanner_dir,
            environment=self.clock.environment,
        )

    def run(self) -> Run:
        """Play the storm; AssertionError with what was said when the lane hangs."""
        heard: list[Verdict] = []
        started = last = time.monotonic()
        gateway = self.config.gateway
        with self.lane as lane, FeedClient(gateway.feed, gateway.requests, after=0) as client:
            assert lane.supervisor is not None
            assert lane.scanner is not None
            while not (lane.finished and not self._waiting and self._free_at is None):
                new = lane.step()
                heard += new
                self._time(new)
                if new:
                    last = time.monotonic()
                self._listen(client)
                self._strike()
                self._sweep()
                assert time.monotonic() - last < PATIENCE_S, "\n".join(["the lane hangs", *self.said[-30:]])
            truth = lane.scanner.bags()
            more, until_seq = self._catch_up(client)
            heard += more
            played = self._played(lane)
        return Run(
            self.storm, self.config, truth, heard, self._client_items, until_seq, self.done,
            time.monotonic() - started, self.said, played, self._waited, self.clock.missing,
        )  # fmt: skip

    def _time(self, new: list[Verdict]) -> None:
        now = time.monotonic()
        for bag_id in self.lane.result.entered:
            self._announced.setdefault(bag_id, now)
        for verdict in new:
            if verdict.final and verdict.bag_id in self._announced:
                self._waited.setdefault(verdict.bag_id, now - self._announced[verdict.bag_id])

    def _listen(self, client: FeedClient) -> None:
        while (item := client.next(0.0)) is not None:
            if isinstance(item, Verdict | Gap | Renumbered):
                self._client_items.append(item)

    def _catch_up(self, client: FeedClient) -> tuple[list[Verdict], int]:
        """Until the client has the journal, as it is then. The gateway may just have been killed.

        Returns what was heard on the bus meanwhile, and the newest sequence that the client was to have.
        """
        heard: list[Verdict] = []
        until = time.monotonic() + CATCH_UP_S
        while True:
            heard += self.lane.step()
            with JournalReader(self.config.state_dir / FILE_NAME) as journal:
                last_seq = journal.last_seq()
            self._listen(client)
            if (client.last_seq or 0) >= last_seq or time.monotonic() > until:
                return heard, last_seq

    def _strike(self) -> None:
        now = time.monotonic()
        entered = len(self.lane.result.entered)
        while self._blows and self._blows[0].bag <= entered:
            blow = self._blows.pop(0)
            self._waiting.append((now + blow.after_s, blow))
        if self._free_at is not None and now >= self._free_at:
            self._free_at = None
            self.disk.free(self._pids())
        for item in [item for item in self._waiting if item[0] <= now]:
            # A limit on file sizes also holds for the spill file, which a full disk leaves writable.
            if item[1].kind == "kill" and self.disk.full and not self.disk.real:
                continue
            self._waiting.remove(item)
            self._do(item[1], now)

    def _do(self, blow: Blow, now: float) -> None:
        self._say(f"chaos: {blow.kind} {' '.join(blow.services)} (bag {blow.bag})")
        if blow.kind == "kill":
            for name in blow.services:
                self._kill(name)
        elif blow.kind == "disk full":
            self.done["disks full"] += 1
            self.disk.fill(self._pids())
            self._free_at = now + FULL_S
        elif blow.kind == "clock":
            self._step(blow, now)
        else:
            self.done["floods"] += 1
            self._flood()

    def _step(self, blow: Blow, now: float) -> None:
        if self.clock.missing:
            return
        self.clock.step(blow.step_s)
        self.done["wall clock steps"] += 1
        if blow.after_s >= 0:
            self._waiting.append((now + CLOCK_S, replace(blow, after_s=-1.0, step_s=-blow.step_s)))

    def _kill(self, name: str) -> None:
        assert self.lane.supervisor is not None
        process = self.lane.supervisor.children[name].process
        if process is not None and process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            self.done["kills"] += 1

    def _flood(self) -> None:
        detector = self.config.detector
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _ in range(FLOOD):
                sock.sendto(self._rng.randbytes(self._rng.randrange(1, 1400)), (detector.host, detector.port))

    def _pids(self) -> list[int]:
        assert self.lane.supervisor is not None
        processes = (child.process for child in self.lane.supervisor.children.values())
        return [process.pid for process in processes if process is not None]

    def _sweep(self) -> None:
        files = sorted((self.config.state_dir / "archive").glob("*.h5"), key=lambda path: path.name.split(".")[-2])
        for path in files[:-KEPT_FILES]:
            path.unlink(missing_ok=True)

    @staticmethod
    def _played(lane: Lane) -> int:
        assert lane.scanner is not None
        if not lane.scanner.faults.is_file():
            return 0
        lines = map(json.loads, lane.scanner.faults.read_text(encoding="utf-8").splitlines())
        return sum(line["state"] == "begin" and line["value"] != 0 for line in lines)

    def _say(self, line: str) -> None:
        self.said.append(f"{time.strftime('%H:%M:%S')} {line}")
