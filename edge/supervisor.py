"""The development supervisor: starts the services of the one table and restarts what dies.

On an installed box systemd does this work; both are checked against :data:`edge.services.SERVICES`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import zmq

from edge import wire
from edge.bus import Bus
from edge.config import Config, dump
from edge.messages import ServiceStatus
from edge.services import SERVICES, Service

BACKOFF_FIRST_S = 0.25
BACKOFF_MAX_S = 10.0
#: A service that ran this long is healthy again: its next restart is immediate.
HEALTHY_S = 30.0
STOP_TIMEOUT_S = 5.0


@dataclass
class Child:
    """One supervised process and what it last said of itself."""

    service: Service
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    restarts: int = 0
    backoff_s: float = BACKOFF_FIRST_S
    start_at: float = 0.0
    status: ServiceStatus | None = None
    heard: float = 0.0
    exit_codes: list[int] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether the process runs and has said so since it was started."""
        return self.process is not None and self.status is not None and self.status.state == "ready"


class Supervisor:
    """Owns the service processes of one lane; call :meth:`poll` often."""

    def __init__(
        self,
        config: Config,
        services: tuple[Service, ...] = SERVICES,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``environment``: variables of the services beside those of this process."""
        self._environment = {**os.environ, **(environment or {})}
        self.config = config
        self.bus = Bus(config.run_dir, "supervisor")
        self._status = self.bus.socket("status", zmq.PULL, bind=True)
        self.logs = config.state_dir / "log"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.config_file = config.state_dir / "lane.toml"
        self.config_file.write_text(dump(config), encoding="utf-8")
        self.children = {s.name: Child(s, self.logs / f"{s.name}.log") for s in services}

    def start(self) -> None:
        """Start every service in the order of the table."""
        for child in self.children.values():
            self._spawn(child)

    def _spawn(self, child: Child) -> None:
        stderr: IO[bytes]
        with child.log.open("ab") as stderr:
            child.process = subprocess.Popen(
                [sys.executable, "-m", child.service.module, "--config", str(self.config_file)],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=self._environment,
                # Ctrl-C reaches the supervisor only; it stops the services in order.
                start_new_session=True,
            )
        child.started = time.monotonic()
        child.status = None

    def poll(self) -> list[str]:
        """Read status messages, restart what died; returns one line for each thing that happened."""
        happened: list[str] = []
        while self._status.poll(0):
            frames = self._status.recv_multipart()
            try:
                _, status, _ = wire.decode(frames, ServiceStatus)
            except wire.WireError as error:
                happened.append(f"unreadable status: {error}")
                continue
            child = self.children.get(status.source)
            if child is not None:
                child.status, child.heard = status, time.monotonic()
        for child in self.children.values():
            happened += self._revive(child)
        return happened

    def _revive(self, child: Child) -> list[str]:
        now = time.monotonic()
        if child.process is None:
            if now >= child.start_at:
                child.restarts += 1
                self._spawn(child)
            return []
        code = child.process.poll()
        if code is None:
            return []
        if now - child.started >= HEALTHY_S:
            child.backoff_s = BACKOFF_FIRST_S
        child.exit_codes.append(code)
        child.process, child.status = None, None
        child.start_at = now + child.backoff_s
        line = (
            f"{child.service.name} ended with {'signal ' + str(-code) if code < 0 else 'exit code ' + str(code)}; "
            f"restart in {child.backoff_s:.2g} s (log: {child.log})"
        )
        child.backoff_s = min(2 * child.backoff_s, BACKOFF_MAX_S)
        return [line]

    def wait_ready(self, timeout_s: float) -> None:
        """Block until every service is ready. RuntimeError names the ones that are not, with the log's end."""
        deadline = time.monotonic() + timeout_s
        while not all(child.ready for child in self.children.values()):
            self.poll()
            if time.monotonic() > deadline:
                late = [c for c in self.children.values() if not c.ready]
                tail = "\n".join(f"--- {c.log}\n{_tail(c.log)}" for c in late)
                raise RuntimeError(
                    f"not ready after {timeout_s:.0f} s: {', '.join(c.service.name for c in late)}\n{tail}"
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop every service, data sources first, so that what is in flight can still drain; then close the bus."""
        for child in reversed(self.children.values()):
            if child.process is not None:
                child.process.terminate()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self.children.values():
            if child.process is None:
                continue
            try:
                child.process.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
            child.process = None
        self.bus.close()


def _tail(path: Path, lines: int = 15) -> str:
    try:
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
