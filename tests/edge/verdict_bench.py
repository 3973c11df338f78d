"""The verdict service as a process, with a bridge and an inference that the test plays by hand."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import zmq

from edge import wire
from edge.bus import Bus
from edge.config import Config, dump
from edge.messages import (
    Assessment,
    BagNotice,
    CommandReply,
    DeviceCommand,
    DeviceEvent,
    DeviceEventKind,
    LaneState,
    Message,
    Verdict,
)
from edge.verdict.journal_reader import JournalReader

#: Generous: a test that waits this long has found a hang.
PATIENCE_S = 30.0
ROOT = Path(__file__).parents[2]
MM = 1000


class Bench:
    """Owns the run directory, the other ends of the sockets, and the process under test."""

    def __init__(self, deadline_s: float = 20.0) -> None:
        self.state_dir = Path(tempfile.mkdtemp(prefix="dlv", dir="/tmp"))
        self.config = Config.model_validate(
            {"lane": {"state_dir": str(self.state_dir)}, "verdict": {"deadline_s": deadline_s}}
        )
        self.config_file = self.state_dir / "lane.toml"
        self.config_file.write_text(dump(self.config), encoding="utf-8")
        self.bus = Bus(self.config.run_dir, "test")
        self.process: subprocess.Popen[bytes] | None = None
        self.remembered: list[DeviceEvent] = []
        self.seq = 1000
        self.commands: list[DeviceCommand] = []
        self.heard: list[tuple[str, Message]] = []
        self.feed = self.bus.subscriber("feed")
        self.results = self.bus.socket("assessments", zmq.PUSH, bind=False)
        self.open_bridge()

    # ---- the bridge ----------------------------------------------------------------------------------------

    def open_bridge(self) -> None:
        self.events = self.bus.socket("events", zmq.PUB, bind=True)
        self.router: zmq.Socket[bytes] | None = self.bus.socket("commands", zmq.ROUTER, bind=True)

    def close_bridge(self) -> None:
        assert self.router is not None
        self.events.close(0)
        self.router.close(0)
        self.router = None

    def happen(self, kind: DeviceEventKind, encoder: int, *, heard: bool = True, **more: Any) -> None:
        """An event at the belt; ``heard`` False: it is lost on the way and only the bridge remembers it."""
        self.seq += 1
        event = DeviceEvent(
            kind=kind, encoder=encoder, event_t_ns=time.time_ns(), event_seq=self.seq, seq=self.seq, **more
        )
        self.remembered.append(event)
        if heard:
            self.events.send_multipart(wire.encode("event", event))

    def enter(self, bag: str, encoder: int = 0, *, heard: bool = True) -> None:
        self.happen(DeviceEventKind.BAG_ENTRY, encoder, heard=heard, bag_id=bag, bag_tag=f"tag-{bag}")

    def leave(self, bag: str, encoder: int = 80 * MM, *, heard: bool = True) -> None:
        self.happen(DeviceEventKind.BAG_EXIT, encoder, heard=heard, bag_id=bag)

    def _answer(self) -> None:
        while self.router is not None and self.router.poll(0):
            peer, *frames = self.router.recv_multipart()
            _, command, _ = wire.decode(frames, DeviceCommand)
            events: Sequence[DeviceEvent] = ()
            if command.action == "events_since":
                events = [event for event in self.remembered if event.seq > command.after_seq]
            else:
                self.commands.append(command)
            reply = self.bus.stamp(CommandReply(ok=True, events=tuple(events)))
            self.router.send_multipart([peer, *wire.encode("reply", reply)])

    # ---- the inference -------------------------------------------------------------------------------------

    def assess(self, bag: str, **changes: Any) -> None:
        clean: dict[str, Any] = {
            "bag_id": bag,
            "score": 0.1,
            "calibration_id": "cal-0123456789abcdef",
            "calibration_created_ns": time.time_ns() - 10**9,
            "frames": 900,
            "columns": 320,
            "rows": self.config.scanner.rows,
            "last_frame_t_ns": time.time_ns() - 10**8,
        }
        self.bus.send(self.results, "assessment", Assessment.model_validate(clean | changes))

    # ---- the process under test ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the service and wait until it listens to the bridge."""
        command = [sys.executable, "-m", "edge.verdict.main", "--config", str(self.config_file)]
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
        before = len(self.heard)
        self.until(lambda: any(self._listens(message) for _, message in self.heard[before:]))

    @staticmethod
    def _listens(message: Message) -> bool:
        return isinstance(message, LaneState) and message.state != "STARTING"

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE_S)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE_S)

    def pump(self) -> None:
        """Play bridge, hear the feed, for a moment."""
        self._answer()
        while self.feed.poll(10):
            topic, message, _ = wire.decode_any(self.feed.recv_multipart())
            self.heard.append((topic, message))

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.pump()
            assert time.monotonic() < deadline, f"nothing came; heard {self.heard}"

    def verdicts(self) -> list[Verdict]:
        return [message for _, message in self.heard if isinstance(message, Verdict)]

    def finals(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts() if verdict.final]

    def started(self) -> list[str]:
        return [m.bag_id for topic, m in self.heard if isinstance(m, BagNotice) and topic == "bag.start"]

    def states(self) -> list[LaneState]:
        return [message for _, message in self.heard if isinstance(message, LaneState)]

    def journal(self) -> list[Verdict]:
        with JournalReader(self.state_dir / "journal.sqlite") as reader:
            return reader.verdicts()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.bus.close()
        shutil.rmtree(self.state_dir)
