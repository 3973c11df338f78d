"""Detector correction in float64: the dead-time curves inverted by bisection."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.frames import PixelFlag
from kernels.settings import SETTINGS
from kernels.types import F64


def measured(true: F64, paralysable: bool) -> F64:
    """Measured rate × τ of a true rate × τ."""
    result: F64 = true * np.exp(-true) if paralysable else true / (1 + true)
    return result


def highest(paralysable: bool) -> float:
    """Measured rate × τ from which a pixel counts as saturated."""
    return SETTINGS.pile_up_fraction * (float(np.exp(-1.0)) if paralysable else 1.0)


def invert(x: F64, paralysable: bool) -> F64:
    """True rate × τ of a measured ``x`` below :func:`highest`, on the branch below the maximum."""
    low, high = np.zeros_like(x), np.full_like(x, 1.0 if paralysable else 1e3)
    for _ in range(80):
        middle = (low + high) / 2
        below = measured(middle, paralysable) < x
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2


def correct_frames(
    frames: npt.NDArray[np.uint16],
    good: npt.NDArray[np.uint8],
    dead_time_s: F64,
    exposure_s: F64,
    paralysable: bool,
    full_scale: int,
) -> tuple[F64, npt.NDArray[np.uint8]]:
    """As :func:`kernels.correct_frames`; ``good`` and ``dead_time_s`` are (rows, 128), ``exposure_s`` (n,)."""
    counts = frames.astype(np.float64)
    x = counts.sum(axis=1) * dead_time_s / exposure_s[:, None, None]
    readable = (x < highest(paralysable)) & (frames < full_scale).all(axis=1)
    flags = np.where(readable, 0, int(PixelFlag.SATURATED))
    flags = np.where(good != 0, flags, int(PixelFlag.MASKED)).astype(np.uint8)
    true = invert(np.where(readable, x, 0.0), paralysable)
    factor = np.where(x > 0, true / np.where(x > 0, x, 1.0), 1.0)
    return np.where((flags == 0)[:, None], counts * factor[:, None], np.nan), flags
