"""Alignment of the sample mask to the detector mask.

Rotation about the beam and place along x: the phase of the rows is measured, levelled and centred, and measured
again. Place along the beam and tilt change how well the pitches of the masks agree, and so the visibility; both are
put where a parabola through three visibilities has its top. Where the field is too low for that effect to rise above
the counting noise it cannot harm either, and the axis stays where it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.phase import heights_mm, level, phases, positions
from calibration.pixels import group_means, live_rows
from calibration.routine import Outcome, Run
from firmware_bridge.scanner import COLUMNS, GROUPS

F64 = npt.NDArray[np.float64]

#: Half-way between the shifts of the mask: two groups see the flanks near the peak, two those far from it, and the
#: ratio of the two pairs does not change with a small displacement, nor with the tube.
SYMMETRIC_UM = 5.0
NEAR, FAR = (1, 2), (0, 3)
#: The effect of an axis must rise this many σ above the noise.
CLEAR = 5.0
#: Change of ln(near/far) per µm² of added variance, curves of 12 µm with their floor: for the forecast only.
FORECAST_PER_UM2 = 0.004


def run(run: Run) -> Outcome:
    """Level and centre the phase, then look for the best visibility."""
    run.light()
    good = run.arrays("pixels")["good"]
    live, heights = live_rows(good), heights_mm(run.scanner)
    stands = {name: run.devices.axes[name].position() for name in ("m1_x", "m1_rot_z")}
    arrays: dict[str, Any] = {}
    rounds = 0
    while True:
        offsets = positions(run.scanner, run.settings.align_positions)
        phase = _phases(run, good, stands["m1_x"], offsets, arrays)
        found = level(phase[live], heights[live])
        arrays.setdefault("phase_before", phase)
        run.show(arrays | {"phase_after": phase})
        if rounds == 0:
            first = found
        rest = abs(found.slope) <= run.limits.max_rotation_mrad and abs(found.place_um) <= run.limits.max_place_um
        if rest and rounds:
            break
        if rounds >= run.settings.align_rounds:
            raise run.fail(
                f"after {rounds} corrections the mask is still turned by {found.slope:+.3f} mrad and "
                f"{found.place_um:+.1f} µm off",
                "Check the sign and the scale of the axes m1_rot_z and m1_x, and that the mask follows them",
            )
        stands["m1_rot_z"] += found.slope
        stands["m1_x"] += found.place_um
        for name, target in stands.items():
            _send(run, name, target)
        rounds += 1
        run.say(0.15 * rounds)
    spread = float(np.subtract(*np.percentile(phase[live], (95, 5))))
    if spread > run.limits.max_phase_spread_um:
        raise run.fail(
            f"the curve centres differ by {spread:.1f} µm over the field, "
            f"{run.limits.max_phase_spread_um:g} µm is allowed",
            "A mask is bent or a segment has come loose: have the mask looked at",
        )
    pitch = _pitch(run, good, stands["m1_x"], arrays)
    arrays |= {"phase_after": phase, **{k: np.float64(v) for k, v in stands.items()}}
    values = {"m1_x_um": stands["m1_x"], "m1_rot_z_mrad": stands["m1_rot_z"], **pitch,
              "found_place_um": first.place_um, "found_rotation_mrad": first.slope,
              "left_place_um": found.place_um, "left_rotation_mrad": found.slope, "phase_spread_um": spread,
              "rounds": float(rounds)}  # fmt: skip
    sentence = f"mask was {first.place_um:+.1f} µm and {first.slope:+.2f} mrad off, now {found.place_um:+.2f} µm and "
    return Outcome(values, arrays, sentence + f"{found.slope:+.3f} mrad")


def _send(run: Run, axis: str, target: float) -> None:
    lower, upper = run.devices.axes[axis].limits()
    if not lower <= target <= upper:
        raise run.fail(
            f"axis {axis} would have to go to {target:+.1f}, it reaches from {lower:g} to {upper:g}",
            "Loosen the mask, set it upright and in the middle by hand, and calibrate again",
        )
    run.move(axis, target)


def _phases(run: Run, good: npt.NDArray[np.uint8], centre_um: float, at_um: F64, arrays: dict[str, Any]) -> F64:
    """Phase of the rows with the mask about ``centre_um``."""
    means = []
    for x in at_um:
        _send(run, "m1_x", centre_um + float(x))
        average = run.recorder.average("align", run.settings.align_frames, run.settings.settle_frames, run.keep)
        means.append(group_means(average.mean, good))
    scan = np.stack(means)
    peak, mean = scan.max(axis=0).sum(axis=1), scan.mean(axis=0).sum(axis=1)
    arrays["m1_x_positions"] = centre_um + at_um
    arrays["m1_x_visibility"] = scan[:, 1].mean(axis=(1, 2))
    run.show(arrays)
    contrast = float(np.median(peak / np.maximum(mean, 1e-9)))
    if contrast < run.limits.min_contrast:
        raise run.fail(
            f"counts change by a factor of {contrast:.2f} while the sample mask moves over one period, "
            f"{run.limits.min_contrast:g} is needed",
            "The sample mask does not move with its axis, or is missing: check the mask and axis m1_x",
        )
    return phases(scan, at_um, run.scanner)


def _pitch(run: Run, good: npt.NDArray[np.uint8], x_um: float, arrays: dict[str, Any]) -> dict[str, float]:
    """Place along the beam and tilt by visibility; axes whose effect cannot be seen stay."""
    scanner = run.scanner
    z1_um, tall_um = scanner.source_m1_m * 1e6, float(np.sqrt(np.mean(heights_mm(scanner) ** 2))) * 1e3
    spans = {
        "m1_z": (run.settings.pitch_span_um, 1.0),
        "m1_rot_x": (run.settings.pitch_span_mrad, tall_um * 1e-3),
    }
    _send(run, "m1_x", x_um + SYMMETRIC_UM)
    middle = _near_far(run, good)
    values: dict[str, float] = {}
    for k, (axis, (span, lever_um)) in enumerate(spans.items()):
        start = run.devices.axes[axis].position()
        # The mean over the detector's width is wider by (width × mismatch)² / 12 (see docs/how-to/calibrate.md).
        variance = (COLUMNS * scanner.m1_period_um * span * lever_um / z1_um) ** 2 / 12
        best = start
        if FORECAST_PER_UM2 * variance > CLEAR * middle[1]:
            lower, upper = run.devices.axes[axis].limits()
            at = np.asarray([max(lower, start - span), start, min(upper, start + span)])
            seen = [middle]
            for place in (at[2], at[0]):
                run.move(axis, float(place))
                seen.append(_near_far(run, good))
            ordered = np.asarray([seen[2][0], seen[0][0], seen[1][0]])
            best = _top(at, ordered, float(np.hypot(middle[1], seen[1][1])))
            run.move(axis, best)
            arrays |= {f"{axis}_positions": at, f"{axis}_visibility": np.tanh(ordered / 2)}
            values[f"{axis}_moved"] = best - start
        values[f"{axis}_{'um' if axis == 'm1_z' else 'mrad'}"] = best
        arrays[axis] = np.float64(best)
        run.say(0.7 + 0.15 * k)
    return values


def _top(at: F64, seen: F64, sd: float) -> float:
    """Where the parabola through three points has its top; the middle one when there is none above the noise."""
    curvature, slope, _ = np.polyfit(at - at[1], seen, 2)
    if curvature >= 0 or seen.max() - seen.min() < CLEAR * sd:
        return float(at[1])
    return float(np.clip(at[1] - slope / (2 * curvature), at[0], at[2]))


def _near_far(run: Run, good: npt.NDArray[np.uint8]) -> tuple[float, float]:
    """ln of counts near the peak over those far from it, and its 1-σ."""
    average = run.recorder.average("align", run.settings.pitch_frames, run.settings.settle_frames, run.keep)
    counts = np.asarray([
        (average.mean[..., g::GROUPS] * good[..., g::GROUPS]).sum(dtype=np.float64) * average.frames
        for g in range(GROUPS)
    ])  # fmt: skip
    near, far = (float(counts[list(pair)].sum()) for pair in (NEAR, FAR))
    return float(np.log(near / far)), float(np.sqrt(1 / near + 1 / far))
