"""Cpufit, where its Python package `pycpufit` is installed; it is not on any package index we know of.

Its models are compiled in, so it gets an easier problem than the others: GAUSS_1D (height, centre, width, floor)
through the four samples, the own curve only and no neighbours: one exponential per sample instead of three.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.bench.peers.problem import TOLERANCE, Fits
from kernels.settings import SETTINGS
from kernels.types import F32


def fit(fits: Fits) -> F32:
    """Results (4, n) as t, Δ, τ², o. Raises ImportError without pycpufit."""
    import pycpufit.cpufit as cf  # noqa: PLC0415

    module: Any = cf
    t, shift, dark_field, o = fits.first
    amplitude, variance = fits.amplitude.mean(axis=0), fits.variance.mean(axis=0)
    width = np.sqrt(variance + dark_field)
    first = np.stack([t * amplitude / width, shift, width, fits.floor * o], axis=1).astype(np.float32)
    places = np.ascontiguousarray(fits.offset.T, dtype=np.float32)
    parameters, *_ = module.fit(
        np.ascontiguousarray(fits.y.T),
        np.ascontiguousarray(fits.weight.T),
        module.ModelID.GAUSS_1D,
        first,
        tolerance=TOLERANCE,
        max_number_iterations=int(SETTINGS.max_iterations),
        estimator_id=module.EstimatorID.LSE,
        user_info=places.ravel(),
    )
    height, centre, width, floor = np.asarray(parameters, dtype=np.float32).T
    return np.stack([height * width / amplitude, centre, width**2 - variance, floor / fits.floor])
