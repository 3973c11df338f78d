"""The flat: modelled air counts, and samples normalised by what the columns really saw (physics.md 4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.reference.model import flat_model as flat_model_float64
from kernels.settings import BINS, COLUMNS, GROUPS
from kernels.types import F32, IlluminationCurves, Model


def flat_model(curves: IlluminationCurves, x0_um: float, model: Model = "full") -> F32:
    """M: air counts of one frame and pixel in each group, (4, 2, rows) float32; equation (2) without a sample."""
    checks.model(model)
    checks.curves("curves", curves)
    return np.ascontiguousarray(flat_model_float64(curves, float(x0_um), model), dtype=np.float32)


def normalise(
    phase_sums: F32,
    weights: F32,
    weights_sq: F32,
    flat: F32,
    good_pixels: npt.NDArray[np.uint8] | None,
    model_counts: F32,
) -> tuple[F32, F32, F32]:
    """Samples S M/F, scaled to the exposure that the columns had on average.

    ``phase_sums`` (4, 2, rows, n), ``weights`` = Σ W and ``weights_sq`` = Σ W² (128, n) as
    :meth:`kernels.PhaseSums.take` returns them; ``flat`` (2, rows, 128) float32 air counts per frame and pixel;
    ``good_pixels`` (2, rows, 128) uint8 or None; ``model_counts`` (4, 2, rows) from :func:`flat_model`.

    Returns samples (4, 2, rows, n), exposure (n,) and variance factor (n,) for :func:`kernels.retrieve`.
    A sample is NaN where none of its pixels is good or no frame was seen; there the exposure is at least tiny.
    """
    sums: F32 = checks.array("phase_sums", phase_sums, (GROUPS, BINS, None, None), np.float32)
    rows, columns = sums.shape[2:]
    weight: F32 = checks.array("weights", weights, (COLUMNS, columns), np.float32)
    square: F32 = checks.array("weights_sq", weights_sq, (COLUMNS, columns), np.float32)
    air: F32 = checks.array("flat", flat, (BINS, rows, COLUMNS), np.float32)
    good = checks.good_pixels("good_pixels", good_pixels, rows, COLUMNS)
    model: F32 = checks.array("model_counts", model_counts, (GROUPS, BINS, rows), np.float32)

    usable = np.where((good != 0) & np.isfinite(air) & (air > 0), air, np.float32(0))
    exposure = weight.sum(axis=0) / np.float32(GROUPS)
    samples = np.empty_like(sums)
    for group in range(GROUPS):
        seen = usable[..., group::GROUPS] @ weight[group::GROUPS]  # F_g, (2, rows, n)
        seen[seen <= 0] = np.nan
        np.multiply(sums[group], (model[group, ..., None] * exposure) / seen, out=samples[group])
    tiny = np.float32(1e-6)
    factor = square.sum(axis=0) / np.maximum(weight.sum(axis=0), tiny)
    return samples, np.maximum(exposure, tiny), np.maximum(factor, tiny)
