"""Thickness linearisation: −ln t, τ² and −ln o of step wedges made proportional to thickness.

Beam hardening and the non-Gaussian illumination curve bend these signals (physics.md 6), so their ratios depend on
thickness. Hardening follows from what the beam has lost in both bins: the correction of a signal is a factor
1 + Σ c_k d_k, where the drivers d are −ln t of both bins, their products, and τ² itself for the dark-field. One set of
c serves all materials, since two attenuations tell heavy from light ones; each wedge has a slope of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_bridge.scanner import BINS

F64 = npt.NDArray[np.float64]

#: Signals in their order: −ln t, τ² (µm²), −ln o.
SIGNALS = ("attenuation", "dark_field", "offset_attenuation")
ATTENUATION, DARK_FIELD, OFFSET = range(3)
#: Drivers: L_low, L_high, L_low², L_low·L_high, L_high² with L = −ln t, and τ² for the dark-field only.
TERMS = 6
#: A term that is not known to this many σ is left out: noise must not bend what is straight.
SIGNIFICANT = 3.0
#: A wedge teaches a signal only if its slope is known to this many σ: scaling noise to nothing would fit it best.
CLEAR = 30.0


@dataclass(frozen=True)
class WedgeSteps:
    """One wedge: ``thickness_mm`` (n,), means and 1-σ of the signals of its steps, ``signals`` and ``sd`` (3, 2, n)."""

    thickness_mm: F64
    signals: F64
    sd: F64


@dataclass(frozen=True)
class Linearisation:
    """``coefficients`` (3 signals, 2 bins, TERMS), 0 where a term was left out; ``limit`` (3, 2, TERMS): largest driver
    of the wedges, beyond which the factor stays what it is there.
    """

    coefficients: F64
    limit: F64


def fit_linearisation(wedges: Sequence[WedgeSteps]) -> Linearisation:
    """Fit the shared correction to ``wedges`` of at least two materials that scatter differently.

    ValueError when there are fewer than two, a wedge has no more than TERMS steps, or a value is not finite.
    """
    if len(wedges) < 2:
        raise ValueError(f"wedges: {len(wedges)} given, two of different materials are needed to tell the terms apart")
    for number, wedge in enumerate(wedges):
        _check(f"wedges[{number}]", wedge)
    coefficients, limit = (np.zeros((len(SIGNALS), len(BINS), TERMS)) for _ in range(2))
    for s in range(len(SIGNALS)):
        for b in range(len(BINS)):
            used = [w for w in wedges if _strength(w, s, b) >= CLEAR]
            if not used:
                continue
            drivers = [_drivers(w.signals, s, b) for w in used]
            limit[s, b] = np.max([np.abs(d).max(axis=1) for d in drivers], axis=0)
            coefficients[s, b] = _solve(used, drivers, s, b)
    return Linearisation(coefficients, limit)


def linearise(correction: Linearisation, signals: npt.ArrayLike) -> F64:
    """Corrected signals (3, 2 bins, …), of the same shape as ``signals``."""
    given = np.asarray(signals, dtype=np.float64)
    if given.shape[:2] != (len(SIGNALS), len(BINS)):
        raise ValueError(f"signals: shape is {given.shape}, expected ({len(SIGNALS)}, {len(BINS)}, …)")
    out = np.empty_like(given)
    trailing = (1,) * (given.ndim - 2)
    for s in range(len(SIGNALS)):
        for b in range(len(BINS)):
            limit = correction.limit[s, b].reshape(TERMS, *trailing)
            drivers = np.clip(_drivers(given, s, b), -limit, limit)
            factor = 1.0 + np.tensordot(correction.coefficients[s, b], drivers, axes=1)
            out[s, b] = given[s, b] * factor
    return out


def bend(thickness_mm: npt.ArrayLike, signal: npt.ArrayLike, sd: npt.ArrayLike) -> float:
    """Residual non-linearity of one signal: largest departure from its best line through the origin, over its largest
    value; all arguments (n,).
    """
    z, y, error = (np.asarray(a, dtype=np.float64) for a in (thickness_mm, signal, sd))
    slope = float((z * y / error**2).sum() / (z * z / error**2).sum())
    return float(np.abs(y - slope * z).max() / max(np.abs(y).max(), 1e-12))


def _strength(wedge: WedgeSteps, s: int, b: int) -> float:
    """Slope of the best line through the origin over its 1-σ."""
    z, y, error = wedge.thickness_mm, wedge.signals[s, b], wedge.sd[s, b]
    return float((z * y / error**2).sum() / np.sqrt((z * z / error**2).sum()))


def _drivers(signals: F64, s: int, b: int) -> F64:
    """(TERMS, …): what the correction of signal ``s`` depends on; unused ones are 0."""
    low, high = np.maximum(signals[ATTENUATION], 0.0)
    own = np.maximum(signals[s, b], 0.0) if s == DARK_FIELD else np.zeros_like(low)
    return np.stack([low, high, low**2, low * high, high**2, own])


def _solve(wedges: Sequence[WedgeSteps], drivers: Sequence[F64], s: int, b: int) -> F64:
    """Σ c_k s d_k − slope_w z = −s: linear in the c and in each wedge's slope. Insignificant terms go one
    by one, and so do the weakest of more terms than wedges: one wedge cannot tell two drivers apart."""
    rows = [np.concatenate([w.signals[s, b] * d, np.zeros((len(wedges), w.thickness_mm.size))])
            for w, d in zip(wedges, drivers, strict=True)]  # fmt: skip
    for k, wedge in enumerate(wedges):
        rows[k][TERMS + k] = -wedge.thickness_mm
    error = np.concatenate([w.sd[s, b] for w in wedges])
    design = np.concatenate(rows, axis=1) / error
    target = -np.concatenate([w.signals[s, b] for w in wedges]) / error
    kept = [k for k in range(TERMS) if s == DARK_FIELD or k < TERMS - 1]
    slopes = list(range(TERMS, TERMS + len(wedges)))
    while True:
        used = design[kept + slopes].T
        scale = np.abs(used).max(axis=0)
        covariance = np.linalg.pinv((used / scale).T @ (used / scale))
        solution = covariance @ ((used / scale).T @ target)
        strength = np.abs(solution) / np.sqrt(np.maximum(np.diag(covariance), 1e-300))
        weakest = int(np.argmin(strength[: len(kept)])) if kept else -1
        if not kept or (strength[weakest] >= SIGNIFICANT and len(kept) <= len(wedges)):
            break
        del kept[weakest]
    out = np.zeros(TERMS)
    out[kept] = (solution / scale)[: len(kept)]
    return out


def _check(name: str, wedge: WedgeSteps) -> None:
    shape = (len(SIGNALS), len(BINS), wedge.thickness_mm.size)
    if wedge.thickness_mm.ndim != 1 or wedge.signals.shape != shape or wedge.sd.shape != shape:
        raise ValueError(
            f"{name}: shapes are {wedge.thickness_mm.shape}, {wedge.signals.shape}, {wedge.sd.shape}; "
            f"expected (n,) and twice {shape}"
        )
    if wedge.thickness_mm.size <= TERMS or not (wedge.thickness_mm > 0).all():
        raise ValueError(f"{name}: thicknesses {wedge.thickness_mm.tolist()}; more than {TERMS}, above 0, are needed")
    if not (np.isfinite(wedge.signals).all() and np.isfinite(wedge.sd).all() and (wedge.sd > 0).all()):
        raise ValueError(f"{name}: a signal or its 1-σ is not a (positive) finite number; measure the wedge again")
