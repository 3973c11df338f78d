"""The supervisor starts real processes, hears them, restarts what dies and leaves nothing behind."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.config import Config
from edge.services import Service
from edge.supervisor import Supervisor

TOY = Service("toy", "tests.edge.toy_service", (), (), 5.0, "for tests")
BROKEN = Service("broken", "tests.edge.no_such_module", (), (), 5.0, "does not start")
PATIENCE_S = 30.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config.model_validate({"lane": {"state_dir": str(tmp_path)}})


@pytest.fixture
def supervisor(config: Config) -> Iterator[Supervisor]:
    made = Supervisor(config, (TOY,))
    yield made
    made.stop()


def until(supervisor: Supervisor, condition: Callable[[], bool]) -> list[str]:
    happened: list[str] = []
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        happened += supervisor.poll()
        assert time.monotonic() < deadline, happened
        time.sleep(0.02)
    return happened


def test_a_service_that_dies_is_restarted_and_it_is_said(supervisor: Supervisor, config: Config) -> None:
    supervisor.start()
    supervisor.wait_ready(PATIENCE_S)
    child = supervisor.children["toy"]
    assert child.process is not None
    first = child.process.pid
    (config.state_dir / "die").touch()
    happened = until(supervisor, lambda: child.restarts == 1 and child.ready)
    assert child.process is not None
    assert child.process.pid != first
    assert any("toy ended with exit code 3" in line for line in happened)
    assert child.exit_codes == [3]


def test_stop_leaves_no_process(supervisor: Supervisor) -> None:
    supervisor.start()
    supervisor.wait_ready(PATIENCE_S)
    process = supervisor.children["toy"].process
    assert process is not None
    supervisor.stop()
    assert process.returncode is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_a_service_that_cannot_start_is_named_with_its_log(config: Config) -> None:
    supervisor = Supervisor(config, (BROKEN,))
    supervisor.start()
    try:
        with pytest.raises(RuntimeError, match=r"broken[\s\S]*no_such_module"):
            supervisor.wait_ready(3.0)
    finally:
        supervisor.stop()
