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

#: The steps in their order, with what the operator reads while they run. The beam comes before the pixels: a tube
#: that is off must not look like a dead detector.
STEPS: dict[str, str] = {
    "dark": "tube off: dark counts, noise",
    "beam": "beam on, belt still, profile, linearity",
    "pixels": "dead, hot and noisy pixels",
    "align": "alignment of the sample mask",
    "scan": "fine flat mask scan",
    "curves": "illumination curves, equation (1)",
    "working-point": "choice of the working point",
    "flat": "flat at the working point",
    "tray": "reference tray through the beam",
    "prior": "offset as a function of transmission",
}
#: What ``darklane calibrate --full`` adds: strips of known materials on the belt, behind the tray.
FULL_STEPS: dict[str, str] = {
    "linearity": "thickness linearisation from step wedges",
    "regions": "reference samples in the ratio space",
    "verification": "phantom that no fit has seen",
}
#: What ``darklane calibrate --stepped`` adds: the tray once more, at rest under a mask that is stepped.
STEPPED_STEPS: dict[str, str] = {"stepped": "reference tray at rest, mask stepped"}
TITLES = STEPS | STEPPED_STEPS | FULL_STEPS


@dataclass(frozen=True)
class Settings:
    """Sizes of the recordings. Defaults take less than a minute at 119 frames/s."""

    dark_frames: int = 24
    pixel_frames: int = 96
    #: Parts of the tube current at which the count rate is checked; the last is 1.
    currents: tuple[float, ...] = (0.4, 0.7, 1.0)
    #: Coarse mask scan over one period of the mask, repeated until the phase is level.
    align_positions: int = 15
    align_frames: int = 4
    align_rounds: int = 4
    #: Along the beam and tilt: visibility at three places this far apart, µm and mrad.
    pitch_frames: int = 40
    pitch_span_um: float = 450.0
    pitch_span_mrad: float = 10.0
    scan_half_width_um: float = 40.0
    scan_positions: int = 41
    frames_per_position: int = 16
    settle_frames: int = 6
    flat_frames: int = 700
    working_point_um: float = -5.0
    beam_frames: int = 12
    frame_timeout_s: float = 3.0
    tray_timeout_s: float = 120.0
    tray_passes: int = 1
    lead_air_mm: float = 6.0
    #: Static acquisition: places of the mask about the working point, µm, frames at each, stops along the tray. With
    #: these no curve of the 4-way mask is sampled towards its near neighbour, 45 µm away.
    stepped_um: tuple[float, ...] = (-10.0, 0.0, 10.0, 20.0)
    stepped_frames: int = 100
    stepped_stops: int = 3


@dataclass(frozen=True)
class Limits:
    """A step that misses its limit ends the calibration."""

    #: Dark counts per frame and pixel with the tube off, mean over the pixels that are not hot.
    max_dark_counts: float = 0.05
    #: Pixels that count anything at all with the beam on, as a fraction; below it the beam is off.
    min_lit: float = 0.2
    #: Measured tube voltage against that of [scanner], as a fraction.
    max_kv_error: float = 0.02
    #: Counts against tube current: departure from proportional, as a fraction.
    max_rate_error: float = 0.03
    #: Rotation about the beam left after alignment, mrad, and place of the mask, µm.
    max_rotation_mrad: float = 0.05
    max_place_um: float = 1.0
    #: Largest minus smallest curve centre over the field (5 to 95 %) that may be left: masks bend.
    max_phase_spread_um: float = 15.0
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
    #: Bend of −ln t of the wedges over thickness, linearised, as a fraction.
    max_bend: float = 0.03
    #: Verification: t as a fraction, τ² as a fraction (or 3 σ if that is more), and values that may be outside.
    max_t_error: float = 0.01
    max_dark_field_error: float = 0.05
    max_outside: float = 0.0
    #: Static against moving: t as in the verification; τ² of a plate, µm²; both beside 3 σ.
    max_stepped_dark_field_um2: float = 1.0
    #: Scatter of the plates' offsets about the prior, beyond what their own uncertainty explains.
    max_prior_sd: float = 0.03
