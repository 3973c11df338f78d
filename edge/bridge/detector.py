"""The detector's command port as the bridge's threads see it; its frames go to readout, not here."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from edge.bridge.jobs import DONE, Heard, Job, Outcome, VersionMismatch
from edge.messages import DeviceState
from firmware_bridge.detector_control import DetectorControlError, DetectorStatus, DetectorVersionError
from firmware_bridge.detector_settings import DetectorSettings, SettingsError


class Control(Protocol):
    """The part of :class:`firmware_bridge.detector_control.DetectorControl` that the bridge uses."""

    def configure(self, settings: DetectorSettings) -> None:
        """Set everything; refused while streaming."""

    def start(self) -> None:
        """Start the packet stream."""

    def stop(self) -> None:
        """Stop the packet stream."""

    def reset_fault(self) -> None:
        """Clear the fault; the stream stays stopped."""

    def status(self) -> DetectorStatus:
        """Ask for everything."""

    def close(self) -> None:
        """Give the connection back; the detector goes on with what it does."""


@dataclass(frozen=True)
class Wanted:
    """What the lane's configuration wants of the detector; thresholds and packet size stay as they are there."""

    exposure_ns: int
    row_binning: int
    host: str
    port: int

    def applied_to(self, now: DetectorSettings, thresholds_ev: tuple[int, ...]) -> DetectorSettings:
        """``now`` with what is wanted; a receiver that listens on every address keeps the stream's target."""
        changed = replace(now, exposure_ns=self.exposure_ns, row_binning=self.row_binning, port=self.port)
        if thresholds_ev:
            changed = replace(changed, thresholds_ev=thresholds_ev)
        try:
            concrete = not ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            concrete = False
        return replace(changed, host=self.host) if concrete else changed


class DetectorHandler:
    """Settings, start, stop, temperature and faults of the detector."""

    name = "detector"
    units: tuple[str, ...] = ("detector",)
    errors: tuple[type[Exception], ...] = (DetectorControlError, SettingsError)
    period_s = 0.5

    def __init__(self, opener: Callable[[], Control], wanted: Wanted) -> None:
        self._open = opener
        self._wanted = wanted
        self._control: Control | None = None

    def open(self) -> str:
        """Connect; changes nothing at the detector."""
        try:
            self._control = self._open()
        except DetectorVersionError as error:
            raise VersionMismatch(str(error)) from error
        return f"firmware {getattr(self._control, 'firmware', '?')}"

    def close(self) -> None:
        """Give the connection back."""
        control, self._control = self._control, None
        if control is not None:
            control.close()

    @property
    def control(self) -> Control:
        """The open connection."""
        assert self._control is not None
        return self._control

    def fileno(self) -> int:
        """It speaks only when asked."""
        return -1

    def keep_alive(self) -> None:
        """It has no watchdog."""

    def poll(self) -> Heard:
        """State, temperature, settings."""
        now = self.control.status()
        settings = now.settings
        return Heard(
            states=(
                DeviceState(
                    device="detector",
                    present=True,
                    state="fault" if now.fault else "streaming" if now.streaming else "idle",
                    detail=now.fault,
                    values={"temperature_c": now.temperature_c, "frames_sent": float(now.frames_sent)},
                    facts={
                        "firmware": now.firmware,
                        "thresholds_ev": ", ".join(map(str, settings.thresholds_ev)),
                        "exposure_ns": str(settings.exposure_ns),
                        "row_binning": str(settings.row_binning),
                        "stream": f"{settings.host}:{settings.port}",
                        "packet_bytes": str(settings.packet_bytes),
                    },
                ),
            )
        )

    def report(self, unit: str) -> Sequence[DeviceState]:
        """As :meth:`poll`."""
        return self.poll().states

    def begin(self, job: Job) -> Outcome | None:
        """Each is a few short requests."""
        if job.action == "detector_start":
            self.control.start()
        elif job.action == "detector_stop":
            self.control.stop()
        elif job.action == "detector_reset":
            self.control.reset_fault()
        else:
            self._configure(job)
        return DONE

    def _configure(self, job: Job) -> None:
        now = self.control.status()
        settings = self._wanted.applied_to(now.settings, job.command.thresholds_ev)
        if settings == now.settings:
            return
        if now.streaming:
            self.control.stop()
        self.control.configure(settings)
        if now.streaming:
            self.control.start()

    def advance(self, job: Job) -> Outcome | None:
        """Nothing takes longer than its requests."""
        return DONE

    def abort(self, job: Job) -> None:
        """Nothing takes longer than its requests."""
