"""The step of ``--stepped``: plates of the tray once more, at rest, with the mask stepped over them.

They must come out as in the moving scan. The belt stops at a few places of the tray; flats are taken before and behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from calibration import stepped
from calibration.devices import BeltEvent
from calibration.pixels import live_rows
from calibration.routine import Outcome, Run
from calibration.step_curves import stored
from calibration.strip import prior_of
from calibration.tray import EDGE_MARGIN_MM, solve
from calibration.tray_pass import wait_for_entry
from firmware_bridge.scanner import COLUMNS, GROUPS
from kernels.types import F32, F64, INFORMATIVE, IlluminationCurves

#: A plate is judged from this many columns of every group, and rows: one that is partly in view is not.
LEAST_COLUMNS, LEAST_ROWS = 5, 4
#: τ² per offset that the prior misses, times t: 17 µm² for 0.05 at t = 0.1 (physics.md 5), µm².
PRIOR_UM2 = 34.0
#: Free belt behind the tray before the last flats, mm.
CLEAR_MM = 3.0
#: The detector's frames are looked at for a belt that stands; after so many it should.
STOPPING_FRAMES = 400


class _Seen(NamedTuple):
    """Mean counts per frame at every place of the mask, (N, 2, rows, columns), and when they were taken, s."""

    means: F32
    at_s: float


def run(run: Run) -> Outcome:
    """Transmission and dark-field of plates at rest against those of the moving scan."""
    run.light()
    settings, scanner = run.settings, run.scanner
    at = settings.working_point_um + np.asarray(settings.stepped_um)
    before = _stepped(run, at)
    run.say(0.2)
    offsets = np.asarray(scanner.column_offsets_um())
    entry = _enter(run)
    lead_um = entry.encoder * scanner.encoder_um + scanner.barrier_to_beam_mm * 1e3
    stops: list[tuple[F64, _Seen]] = []
    for k, middle_mm in enumerate(_stops(run)):
        # The middle of the detector's columns looks at the middle of the stop.
        travel = _drive_to(run, lead_um + middle_mm * 1e3 + float(offsets.mean()))
        stops.append(((travel - offsets - lead_um) / 1e3, _stepped(run, at)))
        run.say(0.2 + 0.6 * (k + 1) / settings.stepped_stops)
    _drive_to(run, lead_um + (run.tray.length_mm + CLEAR_MM) * 1e3 + float(offsets.max()))
    after = _stepped(run, at)
    run.place(settings.working_point_um)
    found: dict[int, tuple[F64, ...]] = {}
    for place_mm, seen in stops:
        # The tube drifts: the flat of each stop lies between those before and behind the tray.
        part = np.float32((seen.at_s - before.at_s) / max(after.at_s - before.at_s, 1e-3))
        found |= _plates(run, place_mm, seen.means, before.means + part * (after.means - before.means), at)
    if not found:
        raise run.fail("no plate of the tray was seen at rest", "Lay the tray on the belt once more, as before")
    return _compared(run, found, at)


def _stepped(run: Run, at: F64) -> _Seen:
    means, began = [], time.monotonic()
    for x in at:
        run.place(float(x))
        average = run.recorder.average("stepped", run.settings.stepped_frames, run.settings.settle_frames, run.keep)
        means.append(average.mean)
    return _Seen(np.stack(means), (began + time.monotonic()) / 2)


def _enter(run: Run) -> BeltEvent:
    run.place(run.settings.working_point_um)
    run.recorder.drain()
    started_at = next(run.recorder.stream("stepped")).encoder_stop
    run.devices.belt.start_belt()
    return wait_for_entry(
        run.recorder, run.devices.belt, started_at, run.scanner, run.settings, run.keep, run.tray.name, "stepped"
    )


def _stops(run: Run) -> Iterator[float]:
    """Middles of the stops, mm from the leading edge: spread over the tray, each on the middle of a plate."""
    middles = sorted({0.5 * sum(plate.along_mm) for plate in run.tray.plates})
    for k in np.linspace(0, len(middles) - 1, run.settings.stepped_stops):
        yield middles[int(k)]


def _drive_to(run: Run, travel_um: float) -> float:
    """Belt on until ``travel_um`` is reached, then off; returns where it stands, µm."""
    encoder_um = run.scanner.encoder_um
    run.recorder.drain()
    run.devices.belt.start_belt()
    for frame in run.recorder.stream("stepped"):
        run.keep()
        if frame.encoder_stop * encoder_um >= travel_um:
            break
    run.devices.belt.stop_belt()
    for _, frame in zip(range(STOPPING_FRAMES), run.recorder.stream("stepped"), strict=False):
        if frame.encoder_start == frame.encoder_stop:
            return frame.encoder_stop * encoder_um
    raise run.fail("the belt does not stop although told to", "Check the belt drive, then calibrate again")


def _plates(run: Run, place_mm: F64, seen: F32, flats: F32, at: F64) -> dict[int, tuple[F64, ...]]:
    """t, τ² and their 1-σ, each (2,), of every plate in view, by its number.

    Columns of one group are alike: in a plate they are summed before the retrieval, as the moving scan sums them.
    """
    good = run.arrays("scan")["good"]
    used = good.astype(bool) & live_rows(good)[None, :, None]
    pitch = run.scanner.m1_period_um
    curves = stepped.of_columns(stored(run), np.arange(GROUPS), pitch)
    model = stepped.modelled(curves, at, pitch)
    heights = (np.arange(run.scanner.rows) + 0.5) * run.scanner.row_pitch_um / 1e3
    group = np.arange(COLUMNS) % GROUPS
    found: dict[int, tuple[F64, ...]] = {}
    for k, plate in enumerate(run.tray.plates):
        rows, columns = (
            (values > low + EDGE_MARGIN_MM) & (values < high - EDGE_MARGIN_MM)
            for values, (low, high) in ((heights, plate.across_mm), (place_mm, plate.along_mm))
        )
        several = np.asarray([(columns & (group == g)).sum() for g in range(GROUPS)])
        if several.min() < LEAST_COLUMNS or rows.sum() < LEAST_ROWS:
            continue
        sample, flat = (_of_groups(np.where(used, counts, np.nan), columns, group) for counts in (seen, flats))
        made = stepped.retrieve(
            sample, flat, curves, at, frames=run.settings.stepped_frames * several, prior=prior_of(run), pitch_um=pitch
        )
        usable = ((made.flags & ~np.uint16(INFORMATIVE)) == 0).all(axis=0) & rows[:, None]
        if usable.any(axis=1).sum() < LEAST_ROWS:
            continue
        dark = made.images[2][:, usable].astype(np.float64)
        t, sd_t = _transmission(sample, flat, curves, model, run.settings.stepped_frames * several, rows)
        found[k] = (t, dark.mean(axis=1), sd_t, dark.std(axis=1) / np.sqrt(usable.sum()))
    return found


def _transmission(
    sample: F32, flat: F32, curves: IlluminationCurves, model: F32, frames: F64, rows: npt.NDArray[np.bool_]
) -> tuple[F64, F64]:
    """t of a plate and its 1-σ, (2,) each, as the step ``tray`` finds it: offset free, no refraction, no scatter."""
    made = []
    for b in range(model.shape[1]):
        counts, floor = (sample[:, b] / flat[:, b] * model[:, b] * frames)[:, rows], (curves.floor[b] * frames)[rows]
        light = (model[:, b] * frames)[:, rows] - floor
        seen = np.isfinite(counts)
        design = np.stack([light[seen], np.broadcast_to(floor, light.shape)[seen]]).astype(np.float64)
        t, _, sd_t, *_ = solve(counts[seen].astype(np.float64), design)
        # The flat is of at least as many frames, and of 1 / t times the counts.
        made.append((t, sd_t * np.sqrt(1 + t)))
    return np.asarray(made)[:, 0], np.asarray(made)[:, 1]


def _of_groups(counts: F32, columns: npt.NDArray[np.bool_], group: npt.NDArray[np.intp]) -> F32:
    """Mean over the good columns of every group: (N, 2, rows, groups); NaN where there is none."""
    parts = []
    for g in range(GROUPS):
        part = counts[..., columns & (group == g)]
        many = np.isfinite(part).sum(axis=-1)
        with np.errstate(invalid="ignore"):
            parts.append(np.where(many > 0, np.nansum(part, axis=-1) / many, np.nan))
    return np.stack(parts, axis=-1).astype(np.float32)


def _compared(run: Run, found: dict[int, tuple[F64, ...]], at: F64) -> Outcome:
    limits, tray = run.limits, run.arrays("tray")
    plates = np.asarray(sorted(found))
    t, dark, sd_t, sd_dark = (np.stack([found[int(k)][i] for k in plates], axis=-1) for i in range(4))
    moving = tray["t"][:, plates]
    sd_moving = tray["sd_t"][:, plates]
    allowed_t = limits.max_t_error * moving + 3 * np.hypot(sd_t, sd_moving)
    # The retrieval ties the offset with the prior, whose error does not average out: it weighs as 1 / t.
    off = PRIOR_UM2 * np.asarray(run.arrays("prior")["sd"], np.float64)[:, None] / moving
    allowed_dark = limits.max_stepped_dark_field_um2 + 3 * np.hypot(sd_dark, off)
    over = np.maximum(np.abs(t - moving) / allowed_t, np.abs(dark) / allowed_dark)
    values = {
        "plates": float(plates.size),
        "t_difference": float(np.abs(t / moving - 1).max()),
        "dark_field_um2": float(np.abs(dark).max()),
        "over_limit": float(over.max()),
    }
    arrays = {"positions_um": at, "plates": plates, "names": tray["names"][plates], "t": t, "t_moving": moving,
              "t_sd": sd_t, "t_moving_sd": sd_moving, "dark_field": dark, "dark_field_sd": sd_dark}  # fmt: skip
    run.show(arrays)
    if values["over_limit"] > 1:
        b, k = np.unravel_index(int(np.argmax(over)), over.shape)
        raise run.fail(
            f"plate {arrays['names'][k]} at rest has t = {t[b, k]:.4f} and τ² = {dark[b, k]:+.2f} µm², the moving scan "
            f"t = {moving[b, k]:.4f}",
            "The mask or the tube moved meanwhile, or the tray lies otherwise: calibrate again",
        )
    sentence = f"{plates.size} plates at rest: t within {100 * values['t_difference']:.1f} % of the moving scan, "
    return Outcome(values, arrays, sentence + f"τ² within {values['dark_field_um2']:.1f} µm² of none")
