"""The emulated scanner as a process, for tests that meet it through its sockets, its serial lines and its files."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware_bridge.belt import BeltController, BeltEvent, LinkError
from firmware_bridge.detector import DetectorStats, DetectorStream, Frame

ROWS = 16
NO_BAGS = '{"items": []}'
LANE = """
[scanner]
native_rows = 64
row_binning = 4
frame_rate_hz = 150
belt_speed_mm_s = 90
[detector]
port = {port}
[detector_control]
port = {control}
[emulator]
time_scale = 2
tube_on = true
bag_gap_mm = 25
dead_pixels = 0.0
hot_pixels = 0.0
"""


def free_port(kind: socket.SocketKind = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Seen:
    """What came in while a plan ran."""

    frames: list[Frame] = field(default_factory=list)
    events: list[BeltEvent] = field(default_factory=list)
    stats: DetectorStats | None = None


@dataclass
class Scanner:
    """One emulator process."""

    folder: Path
    process: subprocess.Popen[str]
    stream: DetectorStream
    control: int

    def wait_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "READY\n"

    def truth(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "truth.jsonl").read_text().splitlines()]

    def run_to_end(self, belt: BeltController) -> Seen:
        """Take frames and events until the process ends by itself."""
        seen = Seen()
        while self.process.poll() is None:
            seen.frames += self.stream.receive(0.05)
            try:
                belt.heartbeat()
                seen.events += [e for e in belt.poll() if e.kind != "encoder"]
            except LinkError:
                break
        assert self.process.wait(10) == 0
        seen.frames += self.stream.receive(0.5)
        seen.stats = self.stream.stats
        return seen


Launch = Callable[..., Any]


def launcher(tmp_path: Path) -> Launch:
    """What starts an emulator in this folder: ``with launch(items, *arguments) as scanner``."""

    @contextmanager
    def start(items: list[dict[str, Any]], *more: str, stdin: int = subprocess.DEVNULL) -> Iterator[Scanner]:
        port, control = free_port(), free_port(socket.SOCK_STREAM)
        lane, plan = tmp_path / "lane.toml", tmp_path / "plan.json"
        lane.write_text(LANE.format(port=port, control=control))
        plan.write_text(json.dumps({"items": items}))
        command = [sys.executable, "-m", "firmware_bridge.emulator", "--config", str(lane), "--plan", str(plan)]
        command += [
            "--dev-dir",
            str(tmp_path / "dev"),
            "--truth",
            str(tmp_path / "truth.jsonl"),
            "--exit-at-end",
            *more,
        ]
        with (
            DetectorStream("127.0.0.1", port, ROWS, buffer_mib=8, fifo_priority=0) as stream,
            subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE, text=True) as process,
        ):
            try:
                scanner = Scanner(tmp_path, process, stream, control)
                scanner.wait_ready()
                yield scanner
            finally:
                process.kill()

    return start


def frames_of(stream: DetectorStream, number: int) -> list[Frame]:
    """The next so many frames; a stream that is silent fails the test."""
    frames: list[Frame] = []
    while len(frames) < number:
        new = stream.receive(10.0)
        assert new
        frames += new
    return frames


def falls_silent(stream: DetectorStream) -> None:
    """Take what is still under way, until half a second brings nothing."""
    deadline = time.monotonic() + 20.0
    while stream.receive(0.5):
        assert time.monotonic() < deadline


def refused(folder: Path, plan: str, *more: str) -> tuple[int, str]:
    """Exit code and log of an emulator that cannot start."""
    (folder / "plan.json").write_text(plan)
    command = [sys.executable, "-m", "firmware_bridge.emulator", "--plan", str(folder / "plan.json")]
    command += ["--dev-dir", str(folder), "--truth", str(folder / "t"), *more]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, result.stderr
