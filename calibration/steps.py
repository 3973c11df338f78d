"""What the calibration routine does, in numbers: sizes of its recordings, limits of its checks, and its reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


class CalibrationError(RuntimeError):
    """A step missed its limit; the message says what was found and what to do. The old calibration stays active."""

    def __init__(self, step: str, found: str, todo: str) -> None:
        super().__init__(f"{step}: {found}. {todo}")
        self.step = step
        self.found = found
        self.todo = todo


@dataclass(frozen=True)
class Report:
    """Progress of one step: ``fraction`` 0 to 1; at 1 the step has passed and ``values`` holds what it measured."""

    step: str
    fraction: float
    text: str = ""
    values: dict[str, float] = field(default_factory=dict)


Progress = Callable[[Report], None]

#: The steps in their order, with what the operator reads while they run.
STEPS: dict[str, str] = {
    "beam": "frames arrive, beam on, belt still",
    "scan": "flat mask scan",
    "pixels": "dead and hot pixels",
    "curves": "illumination curves, equation (1)",
    "working-point": "move to the working point",
    "flat": "flat at the working point",
    "tray": "reference tray through the beam",
    "prior": "offset as a function of transmission",
}


@dataclass(frozen=True)
class Settings:
    """Sizes of the recordings. Defaults take less than a minute at 119 frames/s."""

    scan_half_width_um: float = 40.0
    scan_positions: int = 41
    frames_per_position: int = 12
    settle_frames: int = 6
    flat_frames: int = 700
    working_point_um: float = -5.0
    beam_frames: int = 12
    frame_timeout_s: float = 3.0
    tray_timeout_s: float = 120.0
    tray_passes: int = 1
    lead_air_mm: float = 6.0


@dataclass(frozen=True)
class Limits:
    """A step that misses its limit ends the calibration."""

    #: Pixels that count anything at all, as a fraction.
    min_lit: float = 0.5
    #: Mean counts per frame and good pixel somewhere in the scan; below it the fits drown in noise.
    min_counts: float = 0.5
    #: Detector frames missing while the belt carries the tray, as a fraction.
    max_lost_frames: float = 0.0
    #: Bad pixels, as a fraction of all.
    max_bad_pixels: float = 0.02
    #: Rows without enough good pixels in some group, as a fraction of all.
    max_dead_rows: float = 0.02
    #: Rms residual of equation (1) over its peak, beyond what counting noise explains.
    max_residual: float = 0.012
    #: Rows that may miss ``max_residual``, as a fraction.
    max_misfit_rows: float = 0.05
    #: Peak over the mean of the curve; a mask that does not move has 1.
    min_contrast: float = 1.2
    #: Distance of the fitted centres from the nominal ones, µm.
    max_centre_error_um: float = 12.0
    #: Width of the curves, µm at M1.
    widths_um: tuple[float, float] = (6.0, 25.0)
    #: sd of τ² with o free at the working point, over the best one within reach.
    max_singularity: float = 2.5
    #: Axis position after a move, µm.
    max_position_error_um: float = 0.5
    #: Flat against the fitted curves: drift of tube or mask between the two recordings.
    max_flat_mismatch: float = 0.05
    #: Reduced chi-square of one tray region under one transmission and one offset.
    max_tray_chi2: float = 2.0
    #: 1-σ of the offset of a tray region.
    max_offset_sd: float = 0.05
    #: Scatter of the plates' offsets about the prior, beyond what their own uncertainty explains.
    max_prior_sd: float = 0.03
