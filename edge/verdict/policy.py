"""From an assessment to a decision. Unknown is never clear: every doubt has its reason here."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.config import Config
from edge.messages import Assessment, Decision, Fault

#: A belt that was stopped may roll back a little; further back means that encoder counts have a new meaning.
ENCODER_SLIP_MM = 5.0


@dataclass(frozen=True)
class Limits:
    """The part of the configuration that decisions need, in ns, encoder counts and µm."""

    deadline_ns: int
    diverter_counts: int
    max_bag_counts: int
    scan_tail_counts: int
    slip_counts: int
    encoder_um: float
    grid_um: float
    rows: int
    threshold: float | None
    calibration_age_ns: int
    max_air_scale: float

    @classmethod
    def of(cls, config: Config) -> Limits:
        """Convert a validated configuration."""
        scanner = config.scanner
        tail_um = (scanner.barrier_to_beam_mm + config.belt.lead_air_mm) * 1e3 + max(scanner.column_offsets_um())

        def counts(travel_um: float) -> int:
            return math.ceil(travel_um / scanner.encoder_um)

        return cls(
            deadline_ns=round(config.verdict.deadline_s * 1e9),
            diverter_counts=counts(config.verdict.diverter_mm * 1e3),
            max_bag_counts=counts(config.belt.max_bag_mm * 1e3),
            scan_tail_counts=counts(tail_um),
            slip_counts=counts(ENCODER_SLIP_MM * 1e3),
            encoder_um=scanner.encoder_um,
            grid_um=scanner.object_grid_um,
            rows=scanner.rows,
            threshold=config.inference.threshold,
            calibration_age_ns=round(config.calibration.max_age_h * 3.6e12),
            max_air_scale=config.calibration.max_air_scale,
        )


@dataclass(frozen=True)
class Judgement:
    """A decision; ``reason`` is set when and only when it is UNKNOWN."""

    decision: Decision
    reason: Fault | None
    detail: str
    threshold: float


def unknown(reason: Fault, detail: str, threshold: float = 0.5) -> Judgement:
    """UNKNOWN for ``reason``; ``detail`` is for people."""
    return Judgement(Decision.UNKNOWN, reason, detail, threshold)


def judge(found: Assessment, limits: Limits, length_counts: int | None, wall_ns: int) -> Judgement:
    """Decide about one assessment of a bag ``length_counts`` long (None while its end is unseen)."""
    threshold = found.threshold if limits.threshold is None else limits.threshold
    if found.fault is not None:
        doubt: tuple[Fault, str] | None = (
            found.fault,
            f"reported by {found.source or 'the lane'}{': ' * bool(found.detail)}{found.detail}; "
            f"{found.lost_frames} frames lost",
        )
    else:
        doubt = (
            _absurd(found, threshold)
            or _contradictory(found, threshold)
            or _incomplete(found, limits, length_counts)
            or _uncalibrated(found, limits, wall_ns)
        )
    if doubt is not None:
        return unknown(*doubt, threshold if _is_fraction(threshold) else 0.5)
    if found.score >= threshold:
        return Judgement(Decision.ALARM, None, f"{len(found.objects)} object(s)", threshold)
    return Judgement(Decision.CLEAR, None, "", threshold)


def _is_fraction(value: float) -> bool:
    return math.isfinite(value) and 0 <= value <= 1


def _absurd(found: Assessment, threshold: float) -> tuple[Fault, str] | None:
    """Numbers that no image can give."""
    for name, value in (("score", found.score), ("threshold", threshold)):
        if not _is_fraction(value):
            return Fault.FAILED_RECON, f"assessment with {name} = {value!r}; 0 to 1 is possible"
    if not all(_is_fraction(item.probability) and math.isfinite(item.area_mm2) for item in found.objects):
        return Fault.FAILED_RECON, "assessment with an object of impossible probability or area"
    if not all(math.isfinite(scale) and scale > 0 for scale in found.air_scale):
        return Fault.FAILED_RECON, f"assessment with air scale {found.air_scale!r}"
    return None


def _contradictory(found: Assessment, threshold: float) -> tuple[Fault, str] | None:
    """Score and objects must tell the same: an alarm points at something."""
    if found.score >= threshold and not found.objects:
        return Fault.FAILED_RECON, f"score {found.score:.3f} reaches {threshold:.3f}, but no object"
    worst = max((item.probability for item in found.objects if item.category == "explosive"), default=0.0)
    if found.score < threshold <= worst:
        return Fault.FAILED_RECON, f"an object of {worst:.3f}, but a bag score of {found.score:.3f}"
    return None


def _incomplete(found: Assessment, limits: Limits, length_counts: int | None) -> tuple[Fault, str] | None:
    """The image must show the whole bag."""
    if found.lost_frames:
        return Fault.INCOMPLETE_SCAN, f"{found.lost_frames} frames and {found.lost_packets} packets lost"
    if found.frames < 1 or found.columns < 1:
        return Fault.INCOMPLETE_SCAN, f"{found.frames} frames, {found.columns} columns"
    if found.rows != limits.rows:
        return Fault.FAILED_RECON, f"image of {found.rows} rows; the scanner has {limits.rows}"
    seen_mm = found.columns * limits.grid_um / 1e3
    bag_mm = (length_counts or 0) * limits.encoder_um / 1e3
    if seen_mm < bag_mm:
        return Fault.INCOMPLETE_SCAN, f"image of {seen_mm:.1f} mm; the bag is {bag_mm:.1f} mm long"
    return None


def _uncalibrated(found: Assessment, limits: Limits, wall_ns: int) -> tuple[Fault, str] | None:
    """Without a valid calibration nothing is cleared."""
    if not found.calibration_id:
        return Fault.CALIBRATION_EXPIRED, "no valid calibration; run 'darklane calibrate'"
    age_ns = wall_ns - found.calibration_created_ns
    if not 0 <= age_ns <= limits.calibration_age_ns:
        detail = f"calibration {found.calibration_id} is {age_ns / 3.6e12:.1f} h old; run 'darklane calibrate'"
        return Fault.CALIBRATION_EXPIRED, detail
    drift = max(abs(scale - 1) for scale in found.air_scale)
    if drift > limits.max_air_scale * (1 + 1e-6):
        return Fault.CALIBRATION_EXPIRED, f"tube output is off by {drift:.1%}; calibrate again"
    return None
