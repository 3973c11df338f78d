"""A synthetic scanner and pixels that follow equation (2) exactly: what the benchmarks and the selftest run on.

Simulated counts, not measurements. Optics as in docs/physics.md 2: curves 12.07 µm wide, shifted −10, 0, 10, 20 µm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kernels.reference import prior as prior_reference
from kernels.reference.model import evaluate, widen
from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import F32, F64, IlluminationCurves, Model, OffsetPrior

SHIFTS_UM = (-10.0, 0.0, 10.0, 20.0)
WIDTH_UM = 12.07
X0_UM = -5.0
#: Counts of a frame and pixel at the top of the curve, and the floor as a fraction of top and floor; (low, high).
PEAK = (8.0, 6.0)
FLOOR = (0.04, 0.32)
PRIOR = OffsetPrior(np.array([[-0.6, -0.9, -0.02, 0.01, 0.0], [-0.1, -0.7, 0.0, 0.0, -0.01]]), np.array([2e-3, 2e-3]))


@dataclass(frozen=True)
class Pixels:
    """Poisson ``samples`` (4, 2, rows, columns) float32 of ``truth`` (same shape), summed over ``exposure`` frames."""

    curves: IlluminationCurves
    truth: F64
    samples: F32
    exposure: float


def curves(rows: int, rng: np.random.Generator) -> IlluminationCurves:
    """Curves of ``rows`` rows, every parameter a few per cent off the ideal one."""
    shape = (BINS, rows, GROUPS)
    peak, floor = np.array(PEAK), np.array(FLOOR)
    area = (peak * np.sqrt(2 * np.pi) * WIDTH_UM)[:, None, None] * (1 + 0.05 * rng.standard_normal(shape))
    centre = SETTINGS.pitch_um * np.arange(GROUPS) + np.array(SHIFTS_UM) + rng.standard_normal(shape)
    width = WIDTH_UM + 0.5 * rng.standard_normal(shape)
    floors = (peak * floor / (1 - floor))[:, None] * (1 + 0.05 * rng.standard_normal(shape[:2]))
    return IlluminationCurves(*(a.astype(np.float32) for a in (area, centre, width, floors)))


def truth(rows: int, columns: int, rng: np.random.Generator) -> F64:
    """A mixed scene (4, 2, rows, columns): t 0.2 to 1, Δ of 1.5 µm, τ² 0 to 600 µm² (low), o as the prior has it."""
    values = np.zeros((4, BINS, rows, columns))
    low = rng.uniform(0.2, 1.0, (rows, columns))
    values[0] = low, low**0.6
    values[1] = rng.normal(0, 1.5, (BINS, rows, columns))
    dark_field = rng.uniform(0, 600.0, (rows, columns))
    values[2] = dark_field, 0.25 * dark_field
    values[3] = prior_reference.predict(PRIOR, values[0])[0]
    return values


def expected(scanner: IlluminationCurves, values: F64, exposure: npt.ArrayLike, model: Model) -> F64:
    """Expected samples (4, 2, rows, columns) of ``values`` summed over ``exposure`` frames."""
    area, centre, width, floor = (part[:, :, None] for part in widen(scanner))
    counts, _ = evaluate((area, centre, width, floor), X0_UM, np.moveaxis(values, 0, -1), model)
    samples: F64 = np.moveaxis(counts, -1, 0) * np.asarray(exposure)
    return samples


def pixels(rows: int, columns: int, counts_at_peak: float, seed: int, model: Model = "full") -> Pixels:
    """Poisson samples of the mixed scene with ``counts_at_peak`` counts at the top of the low bin's curve."""
    rng = np.random.default_rng(seed)
    scanner = curves(rows, rng)
    values = truth(rows, columns, rng)
    exposure = counts_at_peak / PEAK[0]
    drawn = rng.poisson(expected(scanner, values, exposure, model))
    return Pixels(scanner, values, np.ascontiguousarray(drawn, dtype=np.float32), exposure)
