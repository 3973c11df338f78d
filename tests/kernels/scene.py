"""A small synthetic scanner: curves, prior and pixels whose expected counts follow equation (2) exactly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.reference import prior as prior_reference
from kernels.reference.model import evaluate, widen
from kernels.types import F32, F64, IlluminationCurves, Model, OffsetPrior

SHIFTS_UM = np.array([-10.0, 0.0, 10.0, 20.0])
X0_UM = -5.0
WIDTH_UM = 12.07
#: Floor as a fraction of peak and floor, for the two bins at 80 kVp (physics.md 2).
FLOOR = (0.04, 0.32)
PEAK = (8.0, 6.0)
PRIOR = OffsetPrior(np.array([[-0.6, -0.9, -0.02, 0.01, 0.0], [-0.1, -0.7, 0.0, 0.0, -0.01]]), np.array([2e-3, 2e-3]))
#: t low and high, Δ, τ² low and high.
SCENES = {
    "air": ((1.0, 1.0), 0.0, (0.0, 0.0)),
    "typical": ((0.55, 0.70), 0.6, (150.0, 25.0)),
    "strong dark-field": ((0.60, 0.75), -1.0, (700.0, 150.0)),
}


def curves(rows: int, seed: int | None = None, floor: tuple[float, float] = FLOOR) -> IlluminationCurves:
    """Ideal curves, or with every parameter of every row a little off when a seed is given."""
    area, centre, width = (np.empty((2, rows, 4)) for _ in range(3))
    floors = np.empty((2, rows))
    width[:] = WIDTH_UM
    centre[:] = 75.0 * np.arange(4) + SHIFTS_UM
    for b in range(2):
        area[b] = PEAK[b] * np.sqrt(2 * np.pi) * WIDTH_UM
        floors[b] = PEAK[b] * floor[b] / (1 - floor[b])
    if seed is not None:
        rng = np.random.default_rng(seed)
        area *= 1 + 0.05 * rng.standard_normal(area.shape)
        centre += rng.standard_normal(centre.shape)
        width += 0.5 * rng.standard_normal(width.shape)
        floors *= 1 + 0.05 * rng.standard_normal(floors.shape)
    return IlluminationCurves(*(a.astype(np.float32) for a in (area, centre, width, floors)))


def random_truth(rng: np.random.Generator, rows: int, columns: int, dark_field: float = 600.0) -> F64:
    """Pixels (4, 2, rows, columns) of t 0.2 to 1, Δ of 1.5 µm and τ² up to ``dark_field``, o as the prior has it."""
    truth = np.zeros((4, 2, rows, columns))
    low = rng.uniform(0.2, 1.0, (rows, columns))
    truth[0] = low, low**0.6
    truth[1] = rng.normal(0, 1.5, (2, rows, columns))
    tau2 = rng.uniform(0, dark_field, (rows, columns))
    truth[2] = tau2, 0.25 * tau2
    truth[3] = prior_reference.predict(PRIOR, truth[0])[0]
    return truth


def uniform_truth(name: str, rows: int, columns: int) -> F64:
    """Every pixel as in one of ``SCENES``."""
    t, shift, tau2 = SCENES[name]
    truth = np.zeros((4, 2, rows, columns))
    for b in range(2):
        truth[0, b], truth[1, b], truth[2, b] = t[b], shift, tau2[b]
    truth[3] = prior_reference.predict(PRIOR, truth[0])[0]
    return truth


def expected(scanner: IlluminationCurves, truth: F64, gain: npt.ArrayLike, model: Model, x_um: float = X0_UM) -> F64:
    """Expected samples (4, 2, rows, columns) of ``truth`` at ``gain`` frames."""
    area, centre, width, floor = (part[:, :, None] for part in widen(scanner))
    counts, _ = evaluate((area, centre, width, floor), x_um, np.moveaxis(truth, 0, -1), model)
    samples: F64 = np.moveaxis(counts, -1, 0) * np.asarray(gain)
    return samples


def single(samples: npt.ArrayLike) -> F32:
    """As the C-ordered float32 that the kernels take."""
    return np.ascontiguousarray(samples, dtype=np.float32)
