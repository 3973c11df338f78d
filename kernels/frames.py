"""Detector correction: dead and hot pixels left out, pile-up linearised, saturation flagged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Literal

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.backends import BackendName, get
from kernels.settings import COLUMNS
from kernels.types import F32, U8, U16

DeadTimeModel = Literal["non-paralysable", "paralysable"]
#: Highest count of a 16-bit counter.
FULL_SCALE = 65535
_SECONDS = (1e-12, 1e6)


class PixelFlag(IntFlag):
    """Bits of the flags of corrected frames; a pixel is good when none is set."""

    MASKED = 1  # dead or hot, from calibration
    SATURATED = 2  # a counter is full, or the rate is too close to what the dead time lets through


@dataclass(frozen=True)
class CorrectedFrames:
    """``counts``: (n, 2, rows, 128) float32, NaN where ``flags`` (n, rows, 128) uint8 is not zero."""

    counts: F32
    flags: U8
    backend: str


def correct_frames(
    frames: U16,
    good_pixels: U8 | None = None,
    *,
    dead_time_s: npt.ArrayLike = 0.0,
    exposure_s: npt.ArrayLike,
    model: DeadTimeModel = "non-paralysable",
    native_pixels: int = 1,
    full_scale: int = FULL_SCALE,
    backend: BackendName = "auto",
    threads: int = 1,
) -> CorrectedFrames:
    """True counts from measured ones, for the rate m and the true rate n of one pixel.

    `non-paralysable`: m = n/(1 + n τ), so n = m/(1 − m τ). `paralysable`: m = n exp(−n τ), the root with n τ < 1.
    A photon makes the pixel dead whatever its energy, so m counts both bins and both get the same factor n/m.
    Counts above 90 % of the highest measurable rate (1/τ, or 1/(e τ)) or at ``full_scale`` are saturated. What is
    masked or saturated is NaN, in both bins; nothing is interpolated. Photons that pile up into the wrong bin
    stay there.

    ``frames``: (n, 2 bins, rows, 128) uint16, or one of them. ``good_pixels``: (2, rows, 128) uint8, 0 where
    calibration found a pixel dead or hot; None is all good. ``dead_time_s`` τ of one native pixel: a number or
    (rows, 128); 0 leaves counts as they are. ``exposure_s``: of a frame, a number or (n,). ``native_pixels``: how many
    the detector summed into one value (its row binning). Where a dead time cuts counts down their variance is not n: it
    is n (1 + n τ) for the first model. Raises ValueError that names the argument and the value.
    """
    given = np.asarray(frames)
    rows = given.shape[-2] if given.ndim in (3, 4) else 0
    data = checks.frames("frames", given, rows, COLUMNS)
    good = checks.good_pixels("good_pixels", good_pixels, rows, COLUMNS)
    if model not in ("non-paralysable", "paralysable"):
        raise ValueError(f"model: is {model!r}, expected non-paralysable or paralysable")
    summed = checks.number("native_pixels", native_pixels, 1, 4096)
    full = int(checks.number("full_scale", full_scale, 1, FULL_SCALE))
    engine = get(backend)
    counts, flags = engine.correct_frames(
        data,
        np.ascontiguousarray((good != 0).all(axis=0), dtype=np.uint8),
        _times("dead_time_s", dead_time_s, (rows, COLUMNS), 0.0) / np.float32(summed),
        _times("exposure_s", exposure_s, (len(data),), _SECONDS[0]),
        full,
        model == "paralysable",
        int(checks.number("threads", threads, 1, 1024)),
    )
    return CorrectedFrames(counts=counts, flags=flags, backend=engine.name)


def _times(name: str, value: npt.ArrayLike, shape: tuple[int, ...], least: float) -> F32:
    """Seconds, a number or one of each, as float32 of ``shape``."""
    given = np.asarray(value, dtype=np.float64)
    if given.shape not in ((), shape):
        raise ValueError(f"{name}: shape is {given.shape}, expected a number or {shape}")
    bad = ~((given >= least) & (given <= _SECONDS[1]))
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}: is {given[at]} s at {at}, expected {least} to {_SECONDS[1]} s")
    return np.ascontiguousarray(np.broadcast_to(given, shape), dtype=np.float32)
