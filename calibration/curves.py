"""Equation (1) from a flat mask scan, and the working point on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

import kernels
from calibration.pixels import U8, live_rows
from calibration.steps import CalibrationError, Limits
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner
from kernels.types import IlluminationCurves, Model

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: The Cramér-Rao table of physics.md 3 is printed for this many counts at the curve's peak.
TABLE_COUNTS = 1e4
#: Order of the unknowns in the table.
NAMES = ("transmission", "refraction", "dark_field", "offset")
DARK_FIELD = 2
#: Working points that the table is searched over, µm.
TABLE_RANGE_UM = np.arange(-15.0, 26.0, 2.5)
#: Counting noise may exceed its expectation by this many of its standard deviations.
NOISE_SIGMA = 3.0
#: Rows fitted between two reports of progress.
ROWS_AT_A_TIME = 16
#: Rows of the field whose working point is checked, evenly spread: masks bend.
TABLE_ROWS = 5


class Fitted(NamedTuple):
    """Curves in the wrapped and in the printed form, what was measured on the way, the rms ``residual`` over the peak
    (2, rows) and the ``visibility`` (2, rows, 4): largest minus smallest over their sum, of the measured points.
    """

    full: IlluminationCurves
    paper: IlluminationCurves
    values: dict[str, float]
    residual: F32
    visibility: F32


def fit(
    positions_um: F64,
    flats: F32,
    good: U8,
    *,
    frames_per_position: int,
    scanner: Scanner,
    limits: Limits,
    tick: Callable[[float], None] = lambda fraction: None,
) -> Fitted:
    """Fit both forms.

    ``positions_um`` (P,), ``flats`` (P, 4, 2, rows) group means of counts per frame; ``tick`` is called now and then
    with the fraction done. :class:`CalibrationError` when the curves are flat, misfit the model, or lie where they
    cannot.
    """
    peak, mean = flats.max(axis=0), flats.mean(axis=0)
    brightest = float(np.median(peak))
    if brightest < limits.min_counts:
        raise CalibrationError(
            "curves",
            f"{brightest:.2g} counts per frame and pixel at the peak, {limits.min_counts:g} are needed",
            "Check tube current, shutter and filters",
        )
    contrast = float(np.median(peak / np.maximum(mean, 1e-9)))
    if contrast < limits.min_contrast:
        raise CalibrationError(
            "curves",
            f"counts change by a factor of {contrast:.2f} over the mask scan, {limits.min_contrast:g} is needed",
            "The mask does not move with its axis, or the wrong mask is mounted: check the x axis and the mask",
        )
    pixel_frames = frames_per_position * COLUMNS / GROUPS
    curves, residual = _fit_rows(positions_um, flats, "full", lambda done: tick(0.5 * done))
    paper, residual_paper = _fit_rows(positions_um, flats, "paper", lambda done: tick(0.5 + 0.5 * done))
    # Counting noise alone leaves an rms of sqrt(mean / n) in each point, and its square scatters by sqrt(2 / points).
    noise = np.sqrt(mean.mean(axis=0) / pixel_frames) / np.maximum(peak.max(axis=0) - curves.floor, 1e-9)
    squared = residual.astype(np.float64) ** 2
    excess = np.sqrt(np.maximum(squared - noise**2, 0.0))
    explained = noise**2 * (1 + NOISE_SIGMA * np.sqrt(2 / flats[..., 0, 0].size))
    live = live_rows(good)
    misfits = ~(squared - explained <= limits.max_residual**2)
    misfit = float(misfits[:, live].any(axis=0).mean())
    values = {
        "counts_at_peak": brightest,
        "residual": float(np.median(residual)),
        "residual_beyond_noise": float(np.median(excess)),
        "residual_paper": float(np.median(residual_paper)),
        "misfit_rows": misfit,
        "width_um": float(np.median(curves.width)),
    }
    if misfit > limits.max_misfit_rows:
        raise CalibrationError(
            "curves",
            f"equation (1) misses {100 * misfit:.0f} % of the rows by over {100 * limits.max_residual:g} % of the peak",
            "Something lies in the beam, or tube or mask moved during the scan: clear the belt and calibrate again",
        )
    _check_shape(curves, live, scanner, limits)
    visibility = ((peak - flats.min(axis=0)) / np.maximum(peak + flats.min(axis=0), 1e-9)).transpose(1, 2, 0)
    return Fitted(curves, paper, values, residual, np.ascontiguousarray(visibility, np.float32))


def _fit_rows(
    positions_um: F64, flats: F32, model: Model, tick: Callable[[float], None]
) -> tuple[IlluminationCurves, F32]:
    """:func:`kernels.fit_curves` a few rows at a time."""
    rows = flats.shape[-1]
    parts, residuals = [], []
    for row in range(0, rows, ROWS_AT_A_TIME):
        block = np.ascontiguousarray(flats[..., row : row + ROWS_AT_A_TIME])
        curves, residual = kernels.fit_curves(positions_um, block, model=model)
        parts.append((curves.area, curves.centre, curves.width, curves.floor))
        residuals.append(residual)
        tick((row + block.shape[-1]) / rows)
    whole = IlluminationCurves(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)))
    return whole, np.concatenate(residuals, axis=1)


def _check_shape(curves: IlluminationCurves, live: npt.NDArray[np.bool_], scanner: Scanner, limits: Limits) -> None:
    nominal = np.asarray([scanner.m1_period_um * g + d for g, d in enumerate(scanner.m1_shifts_um)])
    error = float(np.median(np.abs(curves.centre[:, live] - nominal)))
    if not error <= limits.max_centre_error_um:
        raise CalibrationError(
            "curves",
            f"curve centres lie {error:.1f} µm off those of this mask, {limits.max_centre_error_um:g} µm are allowed",
            "Align the sample mask (x translation, rotation about z) and calibrate again",
        )
    width = float(np.median(curves.width[:, live]))
    low, high = limits.widths_um
    if not low <= width <= high:
        raise CalibrationError(
            "curves",
            f"curve width is {width:.1f} µm, {low:g} to {high:g} µm is possible with these masks",
            "Check the distances and the rotation of the two masks against each other",
        )


def working_point_table(curves: IlluminationCurves, model: Model = "full") -> F64:
    """Cramér-Rao 1-σ of t, Δ, τ², o over TABLE_RANGE_UM at 1e4 counts, (n, 4).

    The worse bin, and the worst of some rows.
    """
    rows = np.linspace(0, curves.floor.shape[1] - 1, TABLE_ROWS).astype(int)
    return np.stack([_worst_sd(curves, float(x0), model, rows) for x0 in TABLE_RANGE_UM])


def _worst_sd(curves: IlluminationCurves, x0_um: float, model: Model, rows: npt.NDArray[np.int_]) -> F64:
    worst = np.zeros(len(NAMES))
    for row in np.unique(rows):
        bounds = kernels.cramer_rao(curves, x0_um, TABLE_COUNTS, model, row=int(row))
        sd = np.stack([np.asarray(bounds[name]) for name in NAMES])
        worst = np.maximum(worst, np.where(np.isfinite(sd), sd, np.inf).max(axis=1))
    return worst


def check_working_point(
    curves: IlluminationCurves,
    x0_um: float,
    limits: Limits,
    show: Callable[[dict[str, F64]], None] = lambda tables: None,
) -> tuple[dict[str, float], dict[str, F64]]:
    """sd of τ² at ``x0_um``, and the tables; :class:`CalibrationError` when (t, τ², o) are close to singular there.

    ``show`` is given the tables before anything is refused.
    """
    full, tied = working_point_table(curves), working_point_table(curves, "map")
    tables = {"x0_um": TABLE_RANGE_UM, "sd_full": full, "sd_map": tied}
    show(tables)
    table = dict(zip(TABLE_RANGE_UM.tolist(), full[:, DARK_FIELD].tolist(), strict=True))
    best_x0 = min(table, key=lambda x: (table[x], abs(x - x0_um)))
    rows = np.linspace(0, curves.floor.shape[1] - 1, TABLE_ROWS).astype(int)
    here = float(_worst_sd(curves, x0_um, "full", rows)[DARK_FIELD])
    if not here <= limits.max_singularity * table[best_x0]:
        good = [x for x, sd in table.items() if sd <= limits.max_singularity * table[best_x0]]
        nearest = min(good, key=lambda x: abs(x - x0_um))
        raise CalibrationError(
            "working-point",
            f"at x0 = {x0_um:+.1f} µm the retrieval is close to singular: dark-field noise {here:.0f} µm² at "
            f"{TABLE_COUNTS:g} counts, {table[best_x0]:.0f} µm² at x0 = {best_x0:+.1f} µm",
            f"Set calibration.working_point_um = {nearest:g} in the configuration",
        )
    values = {"working_point_um": x0_um, "sd_dark_field_um2": here, "best_sd_dark_field_um2": table[best_x0]}
    return values, tables
