"""Derived ratio images with propagated 1-σ, in float64 (physics.md 6)."""

from __future__ import annotations

import numpy as np

from kernels.reference.model import DARK_FIELD, OFFSET, T
from kernels.settings import SETTINGS
from kernels.types import F64


def minus_log(value: F64, sigma: F64) -> tuple[F64, F64]:
    """−ln x and its σ; NaN where x ≤ 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value > 0, -np.log(value), np.nan), np.where(value > 0, sigma / value, np.nan)


def quotient(a: F64, sigma_a: F64, b: F64, sigma_b: F64) -> tuple[F64, F64]:
    """a/b and its σ; NaN where |b| is below the significance limit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = a / b
        sigma = np.sqrt(sigma_a**2 + (value * sigma_b) ** 2) / np.abs(b)
    clear = np.abs(b) > SETTINGS.ratio_significance * sigma_b
    return np.where(clear, value, np.nan), np.where(clear, sigma, np.nan)


def ratios(images: F64, sigma: F64) -> tuple[F64, F64]:
    """Values and σ, each (7, …): attenuation low, high; R_df; R_ab; R_of; dark-field / attenuation low, high."""
    loss, loss_sigma = minus_log(images[T], sigma[T])
    septa, septa_sigma = minus_log(images[OFFSET], sigma[OFFSET])
    dark, dark_sigma = images[DARK_FIELD], sigma[DARK_FIELD]
    pairs = [
        (loss[0], loss_sigma[0]),
        (loss[1], loss_sigma[1]),
        quotient(dark[0], dark_sigma[0], dark[1], dark_sigma[1]),
        quotient(loss[0], loss_sigma[0], loss[1], loss_sigma[1]),
        quotient(septa[0], septa_sigma[0], septa[1], septa_sigma[1]),
        quotient(dark[0], dark_sigma[0], loss[0], loss_sigma[0]),
        quotient(dark[1], dark_sigma[1], loss[1], loss_sigma[1]),
    ]
    return np.stack([p[0] for p in pairs]), np.stack([p[1] for p in pairs])
