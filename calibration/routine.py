"""Runs the steps of the calibration in order; a run that was interrupted goes on where it stopped.

A step that misses its limit raises :class:`~calibration.steps.CalibrationError` with a sentence on what to do. What a
step measured is in the session before the next one begins. Nothing is activated here: the caller saves the bundle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from calibration.certificate import Certificate
from calibration.devices import Devices
from calibration.manifest import Manifest, StepResult
from calibration.recorder import Recorder
from calibration.session import Session, SessionError
from calibration.steps import TITLES, CalibrationError, Limits, Progress, Report, Settings
from calibration.tray import Tray
from firmware_bridge.belt import BeltError
from firmware_bridge.detector import DetectorError
from firmware_bridge.motion import AxisError
from firmware_bridge.scanner import Scanner
from firmware_bridge.serial_link import LinkError
from firmware_bridge.tube import TubeError

#: An interrupted run is not gone on with when it is older: tube and masks have drifted meanwhile.
RESUME_H = 1.0


class Outcome(NamedTuple):
    """What a step that has passed measured, as numbers, arrays, and one sentence."""

    values: dict[str, float]
    arrays: Mapping[str, Any]
    found: str = ""


@dataclass
class Run:
    """One run of the routine: what its steps share. ``step`` is the one that runs."""

    devices: Devices
    scanner: Scanner
    session: Session
    settings: Settings
    limits: Limits
    tray: Tray
    progress: Progress
    certificate: Certificate | None = None
    step: str = ""
    recorder: Recorder = field(init=False)
    shown: dict[str, Any] = field(default_factory=dict)
    _fraction: float = 0.0
    _loaded: dict[str, dict[str, npt.NDArray[Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recorder = Recorder(self.devices.detector, self.scanner.rows, self.settings.frame_timeout_s)

    def say(self, fraction: float) -> None:
        """Progress of the running step."""
        self._fraction = min(fraction, 0.99)
        self.progress(Report(self.step, self._fraction, TITLES[self.step]))

    def keep(self, *_: object) -> None:
        """Tell whoever watches that the step is alive: the generator takes the beam down when nobody does."""
        self.say(self._fraction)

    def show(self, arrays: Mapping[str, Any]) -> None:
        """Keep what the running step has measured so far: a step that fails is drawn from it in the report."""
        self.shown |= arrays

    def fail(self, found: str, todo: str) -> CalibrationError:
        """The running step missed a limit."""
        return CalibrationError(self.step, found, todo)

    def arrays(self, step: str) -> dict[str, npt.NDArray[Any]]:
        """What an earlier step measured."""
        if step not in self._loaded:
            self._loaded[step] = self.session.arrays(step)
        return self._loaded[step]

    def beam(self, part: float) -> None:
        """X-rays on at ``part`` of the current; 0 is off."""
        try:
            with self.recorder.idle():
                if part > 0:
                    self.devices.source.on(part)
                else:
                    self.devices.source.off()
        except (TubeError, LinkError) as error:
            raise self.fail(str(error), "See to the x-ray generator, then calibrate again") from error

    def light(self) -> None:
        """X-rays on at full current, at the voltage that the calibration is for."""
        self.beam(1.0)
        kv = self.devices.source.kilovolts()
        if abs(kv / self.scanner.tube_kv - 1) > self.limits.max_kv_error:
            raise self.fail(
                f"the tube gives {kv:.1f} kV, the configuration says {self.scanner.tube_kv} kV",
                "Set the generator or scanner.tube_kv right",
            )

    def move(self, axis: str, target: float) -> None:
        """Move an axis and believe only its position read back."""
        self.keep()
        try:
            with self.recorder.idle():
                self.devices.axes[axis].move_to(target)
            there = self.devices.axes[axis].position()
        except (AxisError, LinkError) as error:
            raise self.fail(
                f"axis {axis}: {error}", "Check the motion controller and what may block the axis"
            ) from error
        if abs(there - target) > self.limits.max_position_error_um:
            raise self.fail(
                f"axis {axis} stands at {there:+.2f} after a move to {target:+.2f}",
                "Check the motion controller: limits, following error, axis number",
            )

    def place(self, x0_um: float) -> None:
        """Move the sample mask to ``x0_um`` from where the curves are centred."""
        self.move("m1_x", float(self.arrays("align")["m1_x"]) + x0_um)


Step = Callable[[Run], Outcome]


def go(run: Run, steps: Mapping[str, Step]) -> None:
    """Run every step that has not passed yet; the belt stands still afterwards, whatever happens.

    :class:`CalibrationError` is also in the session then, as are the steps before.
    """
    try:
        for name, step in steps.items():
            run.step = name
            if _passed(run):
                run.progress(Report(name, 1.0, TITLES[name], run.session.step(name).values))
                continue
            _take(run, step)
    finally:
        run.devices.belt.stop_belt()


def _passed(run: Run) -> bool:
    if run.session.step(run.step).state != "passed":
        return False
    try:
        run.arrays(run.step)
    except SessionError:
        return False
    return True


def _take(run: Run, step: Step) -> None:
    before = run.recorder.frames
    run._fraction = 0.0
    run.shown.clear()
    with run.session.running(run.step) as record:
        run.say(0.0)
        try:
            outcome = _careful(run, step)
        except CalibrationError as error:
            record.exposures = run.recorder.frames - before
            run.session.failed(run.step, error.found, error.todo, run.shown)
            raise
        record.exposures = run.recorder.frames - before
        record.found = outcome.found
        run.session.passed(run.step, outcome.values, outcome.arrays)
        run._loaded[run.step] = {key: np.asarray(value) for key, value in outcome.arrays.items()}
    run.progress(Report(run.step, 1.0, TITLES[run.step], outcome.values))


def _careful(run: Run, step: Step) -> Outcome:
    """A device that fails ends the step as a limit that is missed does."""
    try:
        return step(run)
    except CalibrationError as error:
        raise run.fail(error.found, error.todo) from error
    except (AxisError, BeltError, DetectorError, LinkError, TubeError) as error:
        raise run.fail(str(error), "See to the device, then calibrate again") from error


def resumable(
    session: Session | None, scanner: Scanner, settings: Settings, limits: Limits, now_ns: int | None = None
) -> bool:
    """Whether ``session`` can be gone on with: not finished, young enough, same scanner, settings and limits."""
    if session is None or session.record.bundle_id:
        return False
    now_ns = time.time_ns() if now_ns is None else now_ns
    record = session.record
    return (
        0 <= now_ns - record.started_ns <= RESUME_H * 3.6e12
        and record.scanner_json == scanner.model_dump_json()
        and record.settings == settings_table(settings)
        and record.limits == limits_table(limits)
    )


def settings_table(settings: Settings) -> dict[str, float | str | bool]:
    """As a session stores them."""
    return {k: " ".join(map(str, v)) if isinstance(v, tuple) else v for k, v in asdict(settings).items()}


def limits_table(limits: Limits) -> dict[str, float | tuple[float, float]]:
    """As a session and a bundle store them."""
    return asdict(limits)


def manifest(run: Run, about: Manifest) -> Manifest:
    """``about`` with what this run did and measured."""
    steps = tuple(
        StepResult(step=s.step, text=s.title, values=s.values) for s in run.session.record.steps if s.state == "passed"
    )
    thresholds = run.arrays("dark")["thresholds_ev"]
    return about.model_copy(
        update={
            "tube_kv": float(run.scanner.tube_kv),
            "thresholds_ev": (int(thresholds[0]), int(thresholds[1])),
            "limits": limits_table(run.limits),
            "steps": steps,
        }
    )
