"""Phase stepping in float64: least squares pixel by pixel, complex amplitudes, σ from gradients."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.settings import SETTINGS
from kernels.types import F64, Flag


def design(positions_um: F64, period_um: float, exposure: F64) -> F64:
    """(P, 3): mean, cosine, sine."""
    phase = 2 * np.pi * positions_um / period_um
    return np.stack([np.ones_like(phase), np.cos(phase), np.sin(phase)], axis=1) * exposure[:, None]


def fit(samples: F64, matrix: F64, variance_factor: float) -> tuple[F64, F64, F64]:
    """Coefficients (n, 3), covariance (n, 3, 3), χ² (n,) of samples (P, n)."""
    coefficients = np.asarray(np.linalg.lstsq(matrix, samples, rcond=None)[0].T, dtype=np.float64)
    linear = np.linalg.inv(matrix.T @ matrix) @ matrix.T
    variance = variance_factor * np.maximum(samples, SETTINGS.floor_counts)
    covariance = np.einsum("ip,pn,jp->nij", linear, variance, linear)
    chi2 = ((samples - matrix @ coefficients.T) ** 2 / variance).sum(axis=0)
    return coefficients, covariance, chi2


def _quantities(coefficients: F64, covariance: F64) -> tuple[F64, F64, F64]:
    """ln mean, phase, ln visibility (3, n), their variances (3, n), and amplitude / σ (n,)."""
    mean, wave = coefficients[:, 0], coefficients[:, 1] + 1j * coefficients[:, 2]
    size = np.abs(wave)
    zero = np.zeros_like(mean)
    u, w = wave.real / size, wave.imag / size
    gradients = [
        np.stack([1 / mean, zero, zero]),
        np.stack([zero, -w / size, u / size]),
        np.stack([-1 / mean, u / size, w / size]),
        np.stack([zero, u, w]),
    ]
    variances = [np.einsum("in,nij,jn->n", g, covariance, g) for g in gradients]
    values = np.stack([np.log(mean), np.angle(wave), np.log(size / mean)])
    return values, np.stack(variances[:3]), size / np.sqrt(variances[3])


def retrieve_sinusoid(
    samples: F64, matrix: F64, reference: F64, reference_matrix: F64, period_um: float, variance_factor: float
) -> tuple[F64, F64, npt.NDArray[np.uint16]]:
    """Images, σ (4, n), flags (n,) of samples (P, n) and reference (Q, n) with their (P, 3) and (Q, 3) designs."""
    bad = np.zeros(samples.shape[1], dtype=bool)
    flags = np.zeros(samples.shape[1], dtype=int)
    values, variances = np.zeros((3, len(flags))), np.zeros((3, len(flags)))
    for sign, counts, at in ((1, samples, matrix), (-1, reference, reference_matrix)):
        usable = ((counts >= 0) & (counts < SETTINGS.saturated_counts)).all(axis=0)
        coefficients, covariance, chi2 = fit(np.where(usable, counts, 1.0), at, variance_factor)
        bad |= ~usable | (coefficients[:, 0] <= 0)
        coefficients[coefficients[:, 0] <= 0] = 1.0
        value, variance, significance = _quantities(coefficients, covariance)
        values, variances = values + sign * value, variances + variance
        limit = SETTINGS.chi2_map + 2 * (len(counts) - 3)
        flags |= np.where(chi2 < limit, 0, int(Flag.NO_EXACT_ROOT))
        flags |= np.where(significance > SETTINGS.ratio_significance, 0, int(Flag.SINGULAR))
        flags |= np.where(counts.sum(axis=0) / variance_factor >= SETTINGS.low_counts, 0, int(Flag.LOW_COUNTS))
    t, ratio = np.exp(values[0]), np.exp(values[2])
    turn = (values[1] + np.pi) % (2 * np.pi) - np.pi
    blur = period_um**2 / (2 * np.pi**2)
    images = np.stack([t, turn * period_um / (2 * np.pi), -blur * values[2], ratio])
    spread = np.sqrt(variances)
    sigma = np.stack([t * spread[0], spread[1] * period_um / (2 * np.pi), blur * spread[2], ratio * spread[2]])
    flags = np.where(bad, int(Flag.BAD_INPUT), flags)
    return np.where(bad, np.nan, images), np.where(bad, np.nan, sigma), flags.astype(np.uint16)
