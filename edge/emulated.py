"""Starts the emulated scanner as a process of its own; the services talk to it as to hardware."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

EMULATOR_MODULE = "firmware_bridge.emulator"


class EmulatorError(RuntimeError):
    """The emulated scanner did not start or died; the text holds the end of its log."""


class EmulatedScanner:
    """One emulated scanner below ``state_dir``: device links in dev/, truth in truth.jsonl, log in log/.

    ``faults``: scenarios for ``--faults`` of the emulator, by name or as files.
    """

    def __init__(
        self, config_file: Path, state_dir: Path, plan: str, *, tray_first: bool, faults: str | None = None
    ) -> None:
        self.truth = state_dir / "truth.jsonl"
        #: One line whenever a fault of the script begins or ends; missing while none did.
        self.faults = state_dir / "faults.jsonl"
        self.log = state_dir / "log" / "emulator.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.truth.unlink(missing_ok=True)
        command = [sys.executable, "-m", EMULATOR_MODULE, "--config", str(config_file), "--plan", plan]
        command += ["--dev-dir", str(state_dir / "dev"), "--truth", str(self.truth), "--exit-at-end"]
        # Whoever started it may be killed: it must not go on without.
        command.append("--while-stdin")
        if tray_first:
            command.append("--tray-first")
        if faults is not None:
            command += ["--faults", faults]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True
            )

    def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Block until it streams; :class:`EmulatorError` when it ends or takes longer."""
        deadline = time.monotonic() + timeout_s
        while b"READY" not in self.log.read_bytes():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise EmulatorError(f"emulated scanner did not start; {self.log} ends:\n{self.tail()}")
            time.sleep(0.05)

    def tail(self) -> str:
        """The last lines of its log."""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self.process.poll() is None

    def bags(self) -> list[dict[str, Any]]:
        """The truth about every bag that has entered so far (the calibration tray is not one)."""
        if not self.truth.is_file():
            return []
        lines = [json.loads(line) for line in self.truth.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if line.get("kind") != "tray"]

    def stop(self) -> None:
        """End it; nothing is left behind."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.running:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
