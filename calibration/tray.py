"""Transmission and offset of known, homogeneous absorbers: what the offset prior is fitted to.

A plate without grain or edges neither shifts nor widens the curves (Δ = τ² = 0), so equation (2) is linear in t and o
there, and both follow from all rows and groups of a plate at once, without the near-singularity of the free fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

import kernels
from calibration.steps import CalibrationError, Limits
from firmware_bridge.scanner import BINS, Scanner
from kernels.types import IlluminationCurves, OffsetPrior

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: Kept away from the edges of a plate: its refraction, the slab of the light barrier, the blur of the aperture.
EDGE_MARGIN_MM = 1.0
#: Weighted least squares is repeated with the weights of its own model; two rounds are enough for counts > 10.
_ROUNDS = 3


@dataclass(frozen=True)
class Plate:
    """One homogeneous absorber of a tray: mm along the belt from the leading edge, mm from the top of the field."""

    name: str
    along_mm: tuple[float, float]
    across_mm: tuple[float, float]


@dataclass(frozen=True)
class Tray:
    """Drawing of a tray: its length along the belt, and its plates."""

    length_mm: float
    plates: tuple[Plate, ...]
    name: str = "reference tray"


@dataclass(frozen=True)
class Region:
    """A rectangle of the bag's image, half open: rows and columns, and what lies there."""

    name: str
    row0: int
    row1: int
    column0: int
    column1: int


@dataclass(frozen=True)
class Plates:
    """Measured values per bin (2) and region (n), with their 1-σ and the reduced chi-square: (2, n) each."""

    names: tuple[str, ...]
    t: F64
    o: F64
    sd_t: F64
    sd_o: F64
    chi2: F64


def region(plate: Plate, lead_columns: float, scanner: Scanner) -> Region:
    """Pixels of ``plate`` without its edges; ``lead_columns``: grid position of the tray's leading edge.

    ValueError when nothing of it is left inside the field.
    """
    name, along_mm, across_mm = plate.name, plate.along_mm, plate.across_mm
    h, pitch = scanner.object_grid_um / 1e3, scanner.row_pitch_um / 1e3
    margin = EDGE_MARGIN_MM
    column0 = int(np.ceil((along_mm[0] + margin) / h + lead_columns))
    column1 = int(np.floor((along_mm[1] - margin) / h + lead_columns)) + 1
    # An edge outside the field is not seen.
    row0 = 0 if across_mm[0] <= 0 else int(np.ceil((across_mm[0] + margin) / pitch))
    inside = across_mm[1] < scanner.rows * pitch
    row1 = int(np.floor((across_mm[1] - margin) / pitch)) if inside else scanner.rows
    if row1 <= row0 or column1 <= column0:
        raise ValueError(f"tray region {name}: nothing of {along_mm} × {across_mm} mm lies in the field")
    return Region(name, row0, row1, column0, column1)


def measure(samples: F32, exposure: F32, curves: IlluminationCurves, x0_um: float, regions: Sequence[Region]) -> Plates:
    """Transmission and offset of each region, equation (2) with Δ = τ² = 0.

    ``samples`` (4, 2, rows, columns) normalised counts, ``exposure`` (columns,) as from :func:`kernels.normalise`;
    rows that hold NaN are left out. ValueError when a region has no usable row.
    """
    air = kernels.flat_model(curves, x0_um, "full").astype(np.float64)
    floor = np.broadcast_to(curves.floor.astype(np.float64), air.shape)
    results = np.full((5, len(BINS), len(regions)), np.nan)
    for k, r in enumerate(regions):
        window = np.s_[:, :, r.row0 : r.row1, r.column0 : r.column1]
        counts = samples[window].sum(axis=-1, dtype=np.float64)
        total = float(exposure[r.column0 : r.column1].sum(dtype=np.float64))
        rows = np.s_[:, :, r.row0 : r.row1]
        for b in range(len(BINS)):
            y = counts[:, b].ravel()
            design = total * np.stack([(air[rows] - floor[rows])[:, b].ravel(), floor[rows][:, b].ravel()])
            usable = np.isfinite(y)
            if usable.sum() < 8:
                raise ValueError(f"tray region {r.name}: no usable pixel; check the pixel mask")
            results[:, b, k] = solve(y[usable], design[:, usable])
    return Plates(tuple(r.name for r in regions), *results)


def solve(y: F64, design: F64) -> tuple[float, float, float, float, float]:
    """t, o, 1-σ of t, 1-σ of o, reduced chi-square of Poisson counts y = t·design[0] + o·design[1]."""
    variance = np.maximum(y, 1.0)
    for _ in range(_ROUNDS):
        normal = (design / variance) @ design.T
        solution = np.linalg.solve(normal, (design / variance) @ y)
        modelled = solution @ design
        variance = np.maximum(modelled, 1.0)
    covariance = np.linalg.inv((design / variance) @ design.T)
    chi2 = float(((y - modelled) ** 2 / variance).sum() / max(y.size - 2, 1))
    sd_t, sd_o = np.sqrt(np.diag(covariance)).tolist()
    return float(solution[0]), float(solution[1]), sd_t, sd_o, chi2


def check(plates: Plates, limits: Limits) -> dict[str, float]:
    """Refuse a tray that is not the reference tray, or not flat on the belt, in words."""
    for k, name in enumerate(plates.names):
        if plates.chi2[:, k].max() > limits.max_tray_chi2:
            raise CalibrationError(
                "tray",
                f"plate {name} is not uniform (reduced chi-square {plates.chi2[:, k].max():.1f}, "
                f"{limits.max_tray_chi2:g} is allowed)",
                "Lay the reference tray against the guide with its arrow along the belt, clean it, and calibrate again",
            )
        if not ((plates.t[:, k] > 0) & (plates.t[:, k] < 1) & (plates.o[:, k] > 0)).all():
            raise CalibrationError(
                "tray",
                f"plate {name} transmits {plates.t[0, k]:.3f} / {plates.t[1, k]:.3f} (low / high bin), offset "
                f"{plates.o[0, k]:.3f} / {plates.o[1, k]:.3f}: no plate of the reference tray does",
                "Put the reference tray on the belt, nothing else",
            )
        if plates.sd_o[:, k].max() > limits.max_offset_sd:
            raise CalibrationError(
                "tray",
                f"the offset of plate {name} is known to ±{plates.sd_o[:, k].max():.3f} only, "
                f"±{limits.max_offset_sd:g} is needed",
                "Raise the tube current or lower the belt speed",
            )
    return {
        "plates": float(len(plates.names)),
        "chi2": float(np.median(plates.chi2)),
        "sd_offset": float(plates.sd_o.max()),
    }


def prior(plates: Plates, limits: Limits) -> tuple[OffsetPrior, dict[str, float]]:
    """The offset prior through the plates' values; :class:`CalibrationError` when it misses them."""
    fitted = kernels.fit_prior(plates.t, plates.o, plates.sd_o)
    # The curve through n noisy plates is itself uncertain, by the share of its parameters in the noise.
    parameters = fitted.coefficients.shape[1]
    uncertain = np.sqrt(np.mean(plates.sd_o**2, axis=1) * parameters / len(plates.names))
    fitted = replace(fitted, sd=np.hypot(fitted.sd, uncertain))
    misfit = np.sqrt(np.mean((kernels.predict_offset(fitted, plates.t) - plates.o) ** 2, axis=-1))
    values = {"misfit_low": float(misfit[0]), "misfit_high": float(misfit[1]), "sd": float(np.max(fitted.sd))}
    if not values["sd"] <= limits.max_prior_sd:
        raise CalibrationError(
            "prior",
            f"the offset of the plates follows their transmission only to {values['sd']:.3f}, "
            f"{limits.max_prior_sd:g} is needed",
            "The tray's plates do not match their layout: check the tray, its position and the tube voltage",
        )
    return fitted, values
