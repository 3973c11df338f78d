"""Cramér-Rao bounds of the retrieval: what a working point can measure at best (physics.md 3)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels import checks
from kernels.reference.model import evaluate
from kernels.settings import BINS
from kernels.types import F64, IlluminationCurves, Model

NAMES = ("transmission", "refraction", "dark_field", "offset")
#: Above this reciprocal condition of the scaled information matrix a bound is finite.
_SINGULAR = 1e-12


def cramer_rao(
    curves: IlluminationCurves,
    x0_um: float,
    counts_at_peak: float,
    model: Model = "full",
    row: int = 0,
    scene: Sequence[float] = (1.0, 0.0, 0.0, 1.0),
) -> dict[str, F64]:
    """Smallest possible 1-σ of each unknown, (2 bins,) by name: transmission, refraction µm, dark_field µm², offset.

    ``counts_at_peak``: counts of a bin at the top of its curve, floor included, without a sample. ``model``: `map`
    stands for o known exactly (the limit of a sharp prior, its offset bound is 0). ``scene``: t, Δ µm, τ² µm², o.
    A bound is inf where the four samples are singular. Raises ValueError.
    """
    checks.model(model)
    packed = checks.curves("curves", curves).astype(np.float64)
    row = int(checks.number("row", row, 0, packed.shape[1] - 1))
    at = packed[:, row]
    area, centre, width, floor = at[:, 0:4], at[:, 4:8], at[:, 8:12], at[:, 12]
    unknowns = np.broadcast_to(np.asarray(scene, dtype=np.float64), (BINS, 4))
    counts, slopes = evaluate((area, centre, width, floor), float(x0_um), unknowns, model)
    peak = (area / (np.sqrt(2 * np.pi) * width)).mean(axis=1) + floor
    gain = checks.number("counts_at_peak", counts_at_peak, 1e-3, 1e12) / peak
    free = 3 if model == "map" else 4
    result = {name: np.zeros(BINS) for name in NAMES}
    for b in range(BINS):
        information = np.einsum("gi,g,gj->ij", slopes[b], gain[b] / counts[b], slopes[b])[:free, :free]
        scale = np.sqrt(np.diag(information))
        values = np.full(free, np.inf)
        if (scale > 0).all():
            unit = information / np.outer(scale, scale)
            if np.linalg.eigvalsh(unit)[0] > _SINGULAR:
                values = np.sqrt(np.diag(np.linalg.inv(unit))) / scale
        for name, value in zip(NAMES, values, strict=False):
            result[name][b] = value
    return result
