"""The whole field routine: its steps in order, a session that can be gone on with, and the bundle at the end."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import numpy as np

from calibration import (
    step_align,
    step_beam,
    step_curves,
    step_dark,
    step_flat,
    step_pixels,
    step_scan,
    step_stepped,
    step_strips,
    step_tray,
)
from calibration.build import assemble
from calibration.bundle import Bundle
from calibration.certificate import Certificate
from calibration.devices import Devices
from calibration.manifest import Manifest
from calibration.reference import reference_tray
from calibration.routine import Run, Step, go, limits_table, manifest, resumable, settings_table
from calibration.session import Session, SessionRecord, StepRecord, newest
from calibration.steps import TITLES, Limits, Progress, Settings
from calibration.tray import Tray
from firmware_bridge.scanner import Scanner
from kernels.types import OffsetPrior

BASIC: Final[dict[str, Step]] = {
    "dark": step_dark.run,
    "beam": step_beam.run,
    "pixels": step_pixels.run,
    "align": step_align.run,
    "scan": step_scan.run,
    "curves": step_curves.run,
    "working-point": step_curves.working_point,
    "flat": step_flat.run,
    "tray": step_tray.run,
    "prior": step_tray.prior,
}
#: With the tray at rest, once more.
STEPPED: Final[dict[str, Step]] = {"stepped": step_stepped.run}
#: With strips of known materials behind the tray.
STRIPS: Final[dict[str, Step]] = {
    "linearity": step_strips.linearity,
    "regions": step_strips.regions,
    "verification": step_strips.verification,
}
#: Below the calibration folder: one folder for each run.
SESSIONS: Final = "sessions"


def steps_of(*, full: bool = False, stepped: bool = False) -> dict[str, Step]:
    """The steps of a routine, in their order."""
    return BASIC | (STEPPED if stepped else {}) | (STRIPS if full else {})


def session_for(
    folder: Path,
    scanner: Scanner,
    *,
    steps: dict[str, Step] | None = None,
    settings: Settings | None = None,
    limits: Limits | None = None,
    about: Manifest | None = None,
    fresh: bool = False,
) -> Session:
    """The session of ``folder`` that was interrupted, when it can be gone on with, else a new one."""
    settings, limits, about = settings or Settings(), limits or Limits(), about or Manifest()
    names = list(steps or BASIC)
    last = None if fresh else newest(folder / SESSIONS)
    same = last is not None and [s.step for s in last.record.steps] == names
    if last is not None and same and resumable(last, scanner, settings, limits):
        return last
    now = time.time_ns()
    stamp = datetime.fromtimestamp(now / 1e9, timezone.utc).strftime("%Y%m%dT%H%M%S")
    return Session.begin(
        folder / SESSIONS,
        SessionRecord(
            id=f"{stamp}.{now // 1_000_000 % 1000:03d}Z",
            started_ns=now,
            operator=about.operator,
            host=about.host,
            simulated=about.simulated,
            scanner_json=scanner.model_dump_json(),
            settings=settings_table(settings),
            limits=limits_table(limits),
            steps=[StepRecord(step=name, title=TITLES[name]) for name in names],
        ),
    )


def calibrate(
    devices: Devices,
    scanner: Scanner,
    session: Session,
    progress: Progress,
    *,
    steps: dict[str, Step] | None = None,
    settings: Settings | None = None,
    limits: Limits | None = None,
    tray: Tray | None = None,
    about: Manifest | None = None,
    certificate: Certificate | None = None,
) -> Bundle:
    """Run what ``session`` has not passed yet and return the bundle, neither saved nor active.

    The belt must be free except for the reference tray waiting before the light barrier. It stands still until the
    tray step and is stopped afterwards, whatever happens. Raises :class:`~calibration.steps.CalibrationError` on a
    missed limit. ``about`` names operator and devices; ``certificate`` is that of the phantom, for the full routine.
    """
    run = Run(
        devices,
        scanner,
        session,
        settings or Settings(),
        limits or Limits(),
        tray or reference_tray(scanner),
        progress,
        certificate,
    )
    go(run, steps or BASIC)
    fitted, done = run.arrays("prior"), steps or BASIC
    return assemble(
        scanner,
        curves=step_curves.stored(run),
        curves_paper=step_curves.stored(run, "paper_"),
        flat=np.asarray(run.arrays("flat")["flat"], np.float32),
        good=np.asarray(run.arrays("scan")["good"], np.uint8),
        prior=OffsetPrior(fitted["coefficients"], fitted["sd"]),
        working_point_um=run.settings.working_point_um,
        manifest=manifest(run, about or Manifest()),
        linearisation=step_strips.stored_linearisation(run) if "linearity" in done else None,
        references=step_strips.stored_references(run) if "regions" in done else None,
    )
