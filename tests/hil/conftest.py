"""A whole lane on the emulated scanner, small enough for tests: 64 rows, eight times faster than real time."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from edge.config import Config
from edge.lane import Lane, LaneError
from edge.messages import Verdict
from tests.ports import free_port

#: Generous: a test that waits this long has found a hang.
PATIENCE_S = 90.0
#: A calibration is tried so often.
CALIBRATIONS = 3


def small_config(state_dir: Path, **tables: dict[str, Any]) -> Config:
    """64 binned rows at eight times real time; ``tables`` override single keys."""
    settings: dict[str, dict[str, Any]] = {
        "lane": {"state_dir": str(state_dir)},
        "scanner": {"native_rows": 256},
        "detector": {"port": free_port()},
        "detector_control": {"port": free_port(socket.SOCK_STREAM)},
        "verdict": {"deadline_s": 30.0},
        "emulator": {"time_scale": 4.0},
    }
    for name, table in tables.items():
        settings[name] = settings.get(name, {}) | table
    return Config.model_validate(settings)


class Run:
    """A lane that is being run by a test."""

    def __init__(self, config: Config, items: list[dict[str, Any]]) -> None:
        plan = config.state_dir / "plan.json"
        plan.parent.mkdir(parents=True, exist_ok=True)
        plan.write_text(json.dumps({"items": items}), encoding="utf-8")
        self.said: list[str] = []
        self.lane = Lane(config, emulate=True, plan=str(plan), say=self.said.append)

    def until(self, condition: Callable[[], bool]) -> None:
        """Run the lane until ``condition``; a hang fails the test with what was said."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.lane.step()
            assert time.monotonic() < deadline, "\n".join([*self.said, *self.lane.result.happened])

    def finish(self) -> None:
        """Run until the plan has ended and everything is archived."""
        self.until(lambda: self.lane.finished)

    def kill(self, service: str) -> None:
        """SIGKILL one service."""
        assert self.lane.supervisor is not None
        process = self.lane.supervisor.children[service].process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)

    def final(self, tag: str) -> Verdict:
        """The one final verdict of the bag with this tag."""
        finals = [v for vs in self.lane.result.verdicts.values() for v in vs if v.final and v.bag_tag == tag]
        assert len(finals) == 1, f"{tag}: {len(finals)} final verdicts of {self.lane.result.verdicts}"
        return finals[0]


def bag(tag: str, seed: int, **more: Any) -> dict[str, Any]:
    """One item of a plan: something small."""
    return {"kind": "phone", "seed": seed, "tag": tag, **more}


@pytest.fixture(scope="session")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """State directory of a lane calibrated once, through the same packets and devices as always."""
    state_dir = tmp_path_factory.mktemp("cal")
    # A machine that stalls longer than the tube's watchdog takes the beam down; whoever calibrates does it again then.
    for _ in range(CALIBRATIONS):
        run = Run(small_config(state_dir), [])
        with suppress(LaneError), run.lane:
            break
    assert run.lane.calibration_state() == "CALIBRATED", run.said
    return state_dir


@pytest.fixture
def state_dir(calibrated: Path) -> Iterator[Path]:
    """A calibrated state directory with a short path (Unix sockets allow 107 bytes)."""
    folder = Path(f"/tmp/dl-{os.getpid()}-{time.monotonic_ns() % 10**9}")
    folder.mkdir()
    # The calibration and the place where it left the mask axis.
    shutil.copytree(calibrated / "calibration", folder / "calibration")
    (folder / "dev").mkdir()
    shutil.copy(calibrated / "dev" / "positions.json", folder / "dev")
    yield folder
    shutil.rmtree(folder)
