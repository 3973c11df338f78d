"""Runs one lane from start to stop: emulated scanner if wanted, calibration if needed, services, belt."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import zmq

from calibration.bundle import BundleError, load_active
from edge import wire
from edge.bridge.client import CommandClient, NoAnswerError
from edge.config import Config, dump
from edge.emulated import EmulatedScanner, EmulatorError
from edge.lane_devices import LaneDevices, limit_s
from edge.messages import BagNotice, CommandReply, DeviceCommand, LaneState, Verdict
from edge.supervisor import Supervisor

#: After the scanner's plan has ended, this long for the last verdicts and archive files.
DRAIN_S = 30.0


class LaneError(RuntimeError):
    """The lane could not be started; the text says which part and what to do."""


@dataclass
class LaneRun:
    """What one run saw on its own feed."""

    entered: dict[str, BagNotice] = field(default_factory=dict)
    verdicts: dict[str, list[Verdict]] = field(default_factory=dict)
    state: LaneState | None = None
    happened: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Every bag that entered has its final verdict."""
        return all(any(v.final for v in self.verdicts.get(bag, [])) for bag in self.entered)


class Lane:
    """One run of a lane. Use as a context manager; call :meth:`step` until :attr:`finished`."""

    def __init__(
        self,
        config: Config,
        *,
        emulate: bool,
        plan: str,
        say: Callable[[str], None],
        faults: str | None = None,
        scanner_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``scanner_dir``: where the emulated scanner keeps its files; default: the state directory.

        ``environment``: variables of the services beside those of this process.
        """
        # The archive says "simulated" for whatever was scanned while the [emulator] table was there.
        emulator = (config.emulator or {}) if emulate else None
        self.config = config.model_copy(update={"emulator": emulator})
        self.emulate = emulate
        self.plan = plan
        self.faults = faults
        self.scanner_dir = scanner_dir or config.state_dir
        self.environment = environment
        self.say = say
        self.result = LaneRun()
        self.scanner: EmulatedScanner | None = None
        self.supervisor: Supervisor | None = None
        self._feed: zmq.Socket[bytes] | None = None
        self.devices: LaneDevices | None = None
        self._ended_at: float | None = None

    def __enter__(self) -> Lane:
        self.config.state_dir.mkdir(parents=True, exist_ok=True)
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop()

    def calibration_state(self) -> str:
        """UNCALIBRATED, CALIBRATED, EXPIRED or INVALID, with the id."""
        try:
            bundle = load_active(self.config.state_dir / "calibration")
        except BundleError as error:
            return f"INVALID ({error})"
        if bundle is None:
            return "UNCALIBRATED"
        return bundle.state(self.config.calibration.max_age_h, self.config.scanner.model_dump_json())

    def _start(self) -> None:
        config_file = self.config.state_dir / "lane.toml"
        config_file.write_text(dump(self.config), encoding="utf-8")
        state = self.calibration_state()
        if self.emulate:
            self.say("starting the emulated scanner (simulated x-rays, real packets)")
            needs_tray = state != "CALIBRATED"
            self.scanner = EmulatedScanner(
                config_file, self.scanner_dir, self.plan, tray_first=needs_tray, faults=self.faults
            )
            self.scanner.wait_ready()
            if needs_tray:
                self._calibrate(config_file)
                state = self.calibration_state()
        if state != "CALIBRATED":
            self.say(f"calibration: {state}. No bag will be cleared; run 'darklane calibrate' first")
        self.supervisor = Supervisor(self.config, environment=self.environment)
        bus = self.supervisor.bus
        self._feed = bus.subscriber("feed")
        # With faults of the emulated scanner somebody has to reset and to start again: here, the lane does.
        operator = self.emulate and self.faults is not None
        self.devices = LaneDevices(CommandClient(bus), self.config, self.say, operator=operator)
        self.supervisor.start()
        self.supervisor.wait_ready(60.0)
        self.say("services ready: " + ", ".join(self.supervisor.children))
        try:
            refused = self.devices.start(self.supervisor.poll)
        except NoAnswerError as error:
            raise LaneError(str(error)) from error
        if refused:
            raise LaneError(f"the lane does not start to scan: {refused}")

    def _calibrate(self, config_file: Path) -> None:
        self.say("no valid calibration: calibrating")
        command = [sys.executable, "-m", "edge.commands", "calibrate", "--config", str(config_file), "--no-report"]
        code = subprocess.run(command, check=False).returncode
        if code != 0:
            raise LaneError(f"calibration failed (exit code {code}); see above, and {self.config.state_dir / 'log'}")

    def command(self, command: DeviceCommand) -> CommandReply:
        """Send one command to the bridge and wait until it is done; LaneError when no answer comes."""
        assert self.devices is not None
        try:
            return self.devices.client.ask(command, limit_s(command))
        except NoAnswerError as error:
            raise LaneError(str(error)) from error

    def step(self) -> list[Verdict]:
        """Look after the processes, read the feed for up to 0.1 s; returns the new verdicts."""
        assert self.supervisor is not None
        assert self._feed is not None
        for line in self.supervisor.poll():
            self.result.happened.append(line)
            self.say(line)
        assert self.devices is not None
        self.devices.tick()
        new: list[Verdict] = []
        wait_ms = 100
        while self._feed.poll(wait_ms):
            wait_ms = 0
            try:
                _, message, _ = wire.decode_any(self._feed.recv_multipart())
            except wire.WireError as error:
                self.say(f"unreadable feed message: {error}")
                continue
            if isinstance(message, BagNotice) and not message.ended:
                self.result.entered[message.bag_id] = message
            elif isinstance(message, Verdict):
                self.result.verdicts.setdefault(message.bag_id, []).append(message)
                new.append(message)
            elif isinstance(message, LaneState):
                self.result.state = message
        return new

    @property
    def finished(self) -> bool:
        """The emulated plan has ended, and every bag has a verdict and its archive file (or time is up)."""
        if self.scanner is None or self.scanner.running:
            return False
        if self.scanner.process.returncode != 0:
            raise EmulatorError(f"emulated scanner died; {self.scanner.log} ends:\n{self.scanner.tail()}")
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        if now - self._ended_at > DRAIN_S:
            return True
        all_seen = len(self.result.entered) >= len(self.scanner.bags())
        spool = self.config.state_dir / "spool"
        archived = not self.config.archive.enabled or not any(spool.glob("*.slabs"))
        return all_seen and self.result.complete and archived

    def _stop(self) -> None:
        if self.scanner is not None:
            self.scanner.stop()
        if self.supervisor is not None:
            self.supervisor.stop()
