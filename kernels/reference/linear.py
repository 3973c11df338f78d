"""Covariances and conditioning of the normal equations."""

from __future__ import annotations

import numpy as np

from kernels.reference.model import T
from kernels.types import F64


def weakest_pivot(normal: F64) -> F64:
    """Smallest pivot of N (n, 4 b, 4 b) scaled to a unit diagonal; Δ, τ², o are eliminated first, the t last."""
    size = normal.shape[1]
    order = [i for i in range(size) if i % 4 != T] + list(range(T, size, 4))
    rest = normal[:, order][:, :, order].copy()
    diagonal = np.maximum(np.einsum("nii->ni", rest), 1e-300)
    pivots = []
    for k in range(size):
        pivot = rest[:, k, k]
        pivots.append(pivot / diagonal[:, k])
        column = rest[:, :, k] / np.where(pivot > 0, pivot, np.inf)[:, None]
        rest = rest - column[:, :, None] * rest[:, k, None, :]
    weakest: F64 = np.min(pivots, axis=0)
    return weakest


def variances(normal: F64, chain: F64) -> F64:
    """Diagonal of C N⁻¹ Cᵀ for N (n, k, k) and C (n, k, k); inf where N is singular. N is scaled to a unit diagonal."""
    d = np.sqrt(np.einsum("nii->ni", normal))
    d = np.where(d > 0, d, 1.0)
    scaled = normal / d[:, :, None] / d[:, None, :]
    bad = ~np.isfinite(scaled).all(axis=(1, 2)) | (np.linalg.det(np.nan_to_num(scaled)) <= 1e-14)
    scaled[bad] = np.eye(normal.shape[1])
    inverse = np.linalg.inv(scaled) / d[:, :, None] / d[:, None, :]
    return np.where(bad[:, None], np.inf, np.einsum("nij,njk,nik->ni", chain, inverse, chain))
