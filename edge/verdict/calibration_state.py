"""The state of the lane's calibration, for the heartbeat. Decisions use what each assessment says itself."""

from __future__ import annotations

import logging
from pathlib import Path

from calibration.bundle import Bundle, BundleError, State, load_active
from edge.config import Config
from edge.messages import Verdict
from edge.verdict.actions import Now

PERIOD_NS = 2_000_000_000
_FOLDER = "calibration"


class CalibrationState:
    """Looks at the active bundle every two seconds; reads it again only when another one was activated."""

    def __init__(self, config: Config) -> None:
        self.id = ""
        self.state: State = "UNCALIBRATED"
        #: Why a new calibration is due although the present one still holds; empty when none is.
        self.due = ""
        self._folder: Path = config.state_dir / _FOLDER
        self._max_age_h = config.calibration.max_age_h
        self._scanner = config.scanner.model_dump_json()
        self._bundle: Bundle | None = None
        self._mark: tuple[int, int] | None = None
        self._next = 0

    @property
    def created_ns(self) -> int:
        """When it was made, ns since 1970; 0 when there is none."""
        return self._bundle.created_ns if self._bundle else 0

    def seen(self, verdict: Verdict) -> None:
        """Take what the newest bag says about drift."""
        drift = verdict.drift
        if drift is None or verdict.calibration_id != self.id:
            return
        self.due = ""
        if drift.recalibrate:
            self.due = (
                f"drift: tube output {verdict.air_scale[0]:.3f} / {verdict.air_scale[1]:.3f}, masks "
                f"{drift.mask_shift_um:+.1f} µm; calibrate soon"
            )

    def tick(self, now: Now) -> None:
        """Look again if it is time."""
        if now.mono < self._next:
            return
        self._next = now.mono + PERIOD_NS
        try:
            pointer = (self._folder / "active").stat()
        except OSError:
            self._mark, self._bundle, self.id, self.state = None, None, "", "UNCALIBRATED"
            return
        if self._mark != (pointer.st_mtime_ns, pointer.st_ino):
            self._mark = (pointer.st_mtime_ns, pointer.st_ino)
            self._read()
        if self._bundle is not None:
            self.state = self._bundle.state(self._max_age_h, self._scanner, now.wall)

    def _read(self) -> None:
        try:
            self._bundle = load_active(self._folder)
        except (BundleError, OSError, UnicodeDecodeError) as error:
            logging.getLogger("verdict").error("%s", error)
            self._bundle = None
        self.due = ""
        self.id = self._bundle.id if self._bundle else ""
        self.state = "UNCALIBRATED" if self._bundle else "INVALID"
