"""The first calibration of a lane: mask scan, curves, working point, flat, reference tray, offset prior.

Every step has a limit; a step that misses it raises :class:`~calibration.steps.CalibrationError` with a sentence
on what to do, and the calibration that was active stays so. Nothing is stored here: the caller saves the bundle.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import kernels
from calibration import curves as curve_step
from calibration import tray as tray_step
from calibration.air import output_scale
from calibration.build import assemble
from calibration.bundle import Bundle
from calibration.devices import Axis, Belt, Detector
from calibration.manifest import Manifest, StepResult
from calibration.pixels import U8, good_pixels, group_means, live_rows
from calibration.recorder import Recorder
from calibration.reference import reference_tray
from calibration.steps import STEPS, CalibrationError, Limits, Progress, Report, Settings
from calibration.tray_pass import record_tray
from firmware_bridge.scanner import BINS, COLUMNS, Scanner
from kernels.types import IlluminationCurves

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class _Scan(NamedTuple):
    positions_um: F64
    mean: F32
    fano: F32


class _Routine:
    def __init__(
        self,
        devices: tuple[Detector, Axis, Belt],
        scanner: Scanner,
        progress: Progress,
        settings: Settings,
        limits: Limits,
    ) -> None:
        detector, self.mask, self.belt = devices
        self.scanner = scanner
        self.settings, self.limits = settings, limits
        self.recorder = Recorder(detector, scanner.rows, settings.frame_timeout_s)
        self._progress = progress
        self.passed: list[StepResult] = []
        self.thresholds_ev = (0, 0)

    def say(self, step: str, fraction: float, values: dict[str, float] | None = None) -> None:
        self._progress(Report(step, fraction, STEPS[step], values or {}))
        if fraction >= 1:
            self.passed.append(StepResult(step=step, text=STEPS[step], values=values or {}))

    def manifest(self, about: Manifest) -> Manifest:
        """``about`` with what this run did and measured."""
        return about.model_copy(
            update={
                "tube_kv": float(self.scanner.tube_kv),
                "thresholds_ev": self.thresholds_ev,
                "limits": asdict(self.limits),
                "steps": tuple(self.passed),
            }
        )

    def beam(self) -> None:
        """Belt stopped, frames coming, photons in them."""
        self.say("beam", 0.0)
        self.belt.stop_belt()
        seen = [next(self.recorder.stream("beam")) for _ in range(self.settings.beam_frames)]
        self.recorder.drain()
        tail = [next(self.recorder.stream("beam")) for _ in range(self.settings.beam_frames)]
        if tail[0].encoder_start != tail[-1].encoder_stop:
            raise CalibrationError(
                "beam",
                f"the belt moves ({tail[-1].encoder_stop - tail[0].encoder_start} counts in {len(tail)} frames) "
                "although told to stop",
                "Check the interlock and the belt drive, then calibrate again",
            )
        self.thresholds_ev = tail[-1].thresholds_ev
        total = np.sum([frame.counts for frame in seen + tail], axis=0, dtype=np.uint32)
        lit = float((total > 0).mean())
        if lit < self.limits.min_lit:
            raise CalibrationError(
                "beam",
                f"only {100 * lit:.0f} % of the pixels count",
                "Switch the tube on and open its shutter",
            )
        self.say("beam", 1.0, {"median_counts": float(np.median(total)) / len(seen + tail)})

    def move(self, step: str, x_um: float) -> None:
        """Move the mask and believe only its position read back."""
        self.mask.move_to_um(x_um)
        there = self.mask.position_um()
        if abs(there - x_um) > self.limits.max_position_error_um:
            raise CalibrationError(
                step,
                f"the mask axis stands at {there:+.2f} µm after a move to {x_um:+.2f} µm",
                "Check the motion controller: limits, following error, axis number",
            )

    def scan(self) -> _Scan:
        """Average frames at each mask position."""
        s = self.settings
        positions = np.linspace(-s.scan_half_width_um, s.scan_half_width_um, s.scan_positions)
        means: list[F32] = []
        shape = (len(BINS), self.scanner.rows, COLUMNS)
        scatter, summed = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        for k, x in enumerate(positions):
            self.say("scan", k / len(positions))
            self.move("scan", float(x))
            average = self.recorder.average("scan", s.frames_per_position, s.settle_frames)
            means.append(average.mean)
            # Poisson: Σ(x − mean)² over n frames is (n − 1) times the mean.
            scatter += average.scatter
            summed += (average.frames - 1) * average.mean
        fano = np.divide(scatter, summed, out=np.zeros_like(summed), where=summed > 0)
        self.say("scan", 1.0, {"positions": len(positions), "frames": len(positions) * s.frames_per_position})
        return _Scan(positions, np.stack(means), fano)

    def pixels(self, scan: _Scan) -> U8:
        """Mask of usable pixels."""
        self.say("pixels", 0.0)
        good = good_pixels(scan.mean.mean(axis=0), scan.fano)
        bad, dead_rows = 1.0 - float(good.mean()), 1.0 - float(live_rows(good).mean())
        if bad > self.limits.max_bad_pixels or dead_rows > self.limits.max_dead_rows:
            raise CalibrationError(
                "pixels",
                f"{100 * bad:.2f} % of the pixels and {100 * dead_rows:.1f} % of the rows are unusable; "
                f"{100 * self.limits.max_bad_pixels:g} % and {100 * self.limits.max_dead_rows:g} % are allowed",
                "Clear the belt; if it is clear, have the detector serviced",
            )
        self.say("pixels", 1.0, {"bad_pixels": float((good[0] == 0).sum()), "bad_fraction": bad})
        return good

    def curves(self, scan: _Scan, good: U8) -> tuple[IlluminationCurves, IlluminationCurves]:
        """Equation (1) per row and bin, wrapped and as printed."""
        self.say("curves", 0.0)
        full, paper, values = curve_step.fit(
            scan.positions_um,
            scan.mean,
            good,
            frames_per_position=self.settings.frames_per_position,
            scanner=self.scanner,
            limits=self.limits,
            tick=self._fitting,
        )
        self.say("curves", 1.0, values)
        return full, paper

    def _fitting(self, fraction: float) -> None:
        # The detector goes on sending while the processor is busy: its frames must not pile up.
        self.recorder.drain()
        self.say("curves", min(fraction, 0.99))

    def working_point(self, curves: IlluminationCurves) -> None:
        """Refuse a singular working point, then go there."""
        self.say("working-point", 0.0)
        values = curve_step.check_working_point(curves, self.settings.working_point_um, self.limits)
        self.move("working-point", self.settings.working_point_um)
        self.say("working-point", 1.0, values)

    def flat(self, curves: IlluminationCurves, good: U8) -> F32:
        """The long flat; it must agree with the curves just fitted."""
        frames = self.settings.flat_frames
        average = self.recorder.average(
            "flat", frames, self.settings.settle_frames, lambda n: self.say("flat", n / (frames + 1))
        )
        modelled = kernels.flat_model(curves, self.settings.working_point_um, "full")
        live = live_rows(good)
        ratio = (group_means(average.mean, good) / modelled)[..., live]
        mismatch = float(np.abs(np.median(ratio, axis=-1) - 1).max())
        if not mismatch <= self.limits.max_flat_mismatch:
            raise CalibrationError(
                "flat",
                f"the flat is {100 * mismatch:.1f} % off the curves of the mask scan, "
                f"{100 * self.limits.max_flat_mismatch:g} % is allowed",
                "Tube output or mask drifted meanwhile, or something lies in the beam: clear the belt, let the tube "
                "warm up, calibrate again",
            )
        self.say("flat", 1.0, {"frames": float(frames), "mismatch": mismatch})
        return average.mean

    def tray(self, curves: IlluminationCurves, flat: F32, good: U8, tray: tray_step.Tray) -> tray_step.Plates:
        """The reference tray once through the beam."""
        recorded = record_tray(
            self.recorder,
            self.belt,
            self.scanner,
            tray=tray,
            good=good,
            settings=self.settings,
            limits=self.limits,
            tick=lambda fraction: self.say("tray", fraction),
        )
        x0_um = self.settings.working_point_um
        modelled = kernels.flat_model(curves, x0_um, "full")
        samples, exposure, _ = kernels.normalise(*recorded.sums, flat, good, modelled)
        scale = output_scale(samples[..., : recorded.air_columns], exposure[: recorded.air_columns], modelled)
        samples = samples / np.asarray(scale, np.float32)[:, None, None]
        try:
            measured = tray_step.measure(samples, exposure, curves, x0_um, recorded.regions)
        except ValueError as error:
            raise CalibrationError("tray", str(error), "Check the layout of the tray") from error
        values = tray_step.check(measured, self.limits)
        self.say("tray", 1.0, values | {"air_scale_low": scale[0], "air_scale_high": scale[1]})
        return measured


def calibrate(
    detector: Detector,
    mask: Axis,
    belt: Belt,
    scanner: Scanner,
    progress: Progress,
    *,
    settings: Settings | None = None,
    limits: Limits | None = None,
    tray: tray_step.Tray | None = None,
    about: Manifest | None = None,
) -> Bundle:
    """Run the whole routine and return its bundle, neither saved nor active; ``about`` names operator and devices.

    The belt must be free except for the reference tray waiting before the light barrier. It stands still until the
    tray step and is stopped afterwards, whatever happens. Raises :class:`CalibrationError` on a missed limit.
    """
    routine = _Routine((detector, mask, belt), scanner, progress, settings or Settings(), limits or Limits())
    try:
        routine.beam()
        scan = routine.scan()
        good = routine.pixels(scan)
        full, paper = routine.curves(scan, good)
        routine.working_point(full)
        flat = routine.flat(full, good)
        measured = routine.tray(full, flat, good, tray or reference_tray(scanner))
        routine.say("prior", 0.0)
        prior, values = tray_step.prior(measured, routine.limits)
        routine.say("prior", 1.0, values | {"exposures": float(routine.recorder.frames)})
    finally:
        belt.stop_belt()
    return assemble(
        scanner,
        curves=full,
        curves_paper=paper,
        flat=flat,
        good=good,
        prior=prior,
        working_point_um=routine.settings.working_point_um,
        manifest=routine.manifest(about or Manifest()),
    )
