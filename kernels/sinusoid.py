"""Grating phase stepping: sinusoids instead of illumination curves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.backends import BackendName, get
from kernels.backends.acquisition import Stepping
from kernels.settings import BINS
from kernels.types import F32, F64, U16

#: Mean, cosine and sine.
UNKNOWNS = 3
#: A larger condition number of the 3 × 3 system means that the positions do not tell mean, cosine and sine apart.
WORST_CONDITION = 1e3


@dataclass(frozen=True)
class SinusoidRetrieval:
    """Result of :func:`kernels.retrieve_sinusoid`.

    ``images`` and ``sigma``: (4 channels, 2 bins, rows, columns) float32: transmission (1), refraction (µm of the
    stepped grating; 2π/period times that is the phase shift), dark-field (τ², µm²), visibility ratio (1).
    ``flags``: (2, rows, columns) uint16, bits of :class:`kernels.Flag`.
    """

    images: F32
    sigma: F32
    flags: U16
    backend: str


def retrieve_sinusoid(
    samples: F32,
    reference: F32 | None,
    positions_um: npt.ArrayLike,
    period_um: float,
    *,
    reference_positions_um: npt.ArrayLike | None = None,
    exposure: npt.ArrayLike = 1.0,
    reference_exposure: npt.ArrayLike = 1.0,
    variance_factor: float = 1.0,
    backend: BackendName = "auto",
    threads: int = 1,
) -> SinusoidRetrieval:
    """Fit I = a (1 + V cos 2π(x − c)/p) at N ≥ 3 positions with and without the sample, and compare.

    Exact linear least squares for a, a V cos and a V sin; 1-σ follow from Poisson counts. Transmission a/a_r,
    refraction c − c_r within ± p/2, visibility ratio V/V_r, and dark-field τ² = −p²/2π² ln(V/V_r): the variance of
    the Gaussian blur that would leave that visibility.

    ``samples``: (N, 2 bins, rows, columns) float32 counts, ``positions_um`` (N,) of the grating, ``period_um`` p.
    ``reference``: the same without a sample, at ``reference_positions_um`` (those of the samples when None); or None,
    which compares with a sinusoid of a = 1, c = 0, V = 1, so that the images are a, c, τ² and V themselves.
    ``exposure``: of each step, a number or (N,). ``variance_factor``: variance of a count over its value.

    A pixel with a sample that is NaN, negative or saturated, or without any counts, is NaN and has ``Flag.BAD_INPUT``;
    SINGULAR: an amplitude below 3 σ has no phase and no visibility; NO_EXACT_ROOT: the samples do not lie on
    a sinusoid (χ² > 40 + 2 (N − 3)); LOW_COUNTS: fewer than 50. Raises ValueError.
    """
    data: F32 = checks.array("samples", samples, (None, BINS, None, None), np.float32)
    shape = data.shape[1:]
    period = checks.number("period_um", period_um, 1e-3, 1e6)
    factor = checks.number("variance_factor", variance_factor, 1e-6, 1e6)
    sample = _stepping("", data, positions_um, period, exposure)
    if reference is None:
        none = np.zeros((UNKNOWNS, 0), dtype=np.float32)
        flat = Stepping(np.zeros((0, sample.samples.shape[1]), dtype=np.float32), none, none)
    else:
        given: F32 = checks.array("reference", reference, (None, *shape), np.float32)
        at = positions_um if reference_positions_um is None else reference_positions_um
        flat = _stepping("reference_", given, at, period, reference_exposure)
    engine = get(backend)
    workers = int(checks.number("threads", threads, 1, 1024))
    images, sigma, flags = engine.retrieve_sinusoid(sample, flat, period, factor, workers)
    return SinusoidRetrieval(images.reshape(4, *shape), sigma.reshape(4, *shape), flags.reshape(shape), engine.name)


def _stepping(which: str, data: F32, positions_um: npt.ArrayLike, period: float, exposure: npt.ArrayLike) -> Stepping:
    """Samples with the matrices of their fit, made in float64."""
    count = len(data)
    at: F64 = np.asarray(positions_um, dtype=np.float64)
    if count < UNKNOWNS or at.shape != (count,) or not np.isfinite(at).all():
        raise ValueError(
            f"{which}positions_um: is {at.tolist()} for {count} samples; expected one finite position for each, at "
            f"least {UNKNOWNS}"
        )
    exposures: F64 = np.asarray(exposure, dtype=np.float64)
    if exposures.shape not in ((), (count,)) or not ((exposures > 0) & np.isfinite(exposures)).all():
        raise ValueError(f"{which}exposure: is {exposures.tolist()}, expected a positive number or {count} of them")
    phase = 2 * np.pi * at / period
    basis = np.stack([np.ones(count), np.cos(phase), np.sin(phase)])
    condition = np.linalg.cond(basis @ basis.T)
    if not condition < WORST_CONDITION:
        raise ValueError(
            f"{which}positions_um: {at.tolist()} of a period of {period:g} µm do not tell mean, cosine and sine apart "
            f"(condition {condition:.3g}, expected less than {WORST_CONDITION:g}); spread them over the period"
        )
    basis = basis * exposures
    projection = np.linalg.pinv(basis.T)
    return Stepping(
        data.reshape(count, -1),
        np.ascontiguousarray(projection, dtype=np.float32),
        np.ascontiguousarray(basis, dtype=np.float32),
    )
