"""Background re-normalisation: a covering material alone, from an overlap with what lies behind it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.settings import BINS
from kernels.types import F32, F64, INFORMATIVE

#: Fewer good pixels than this say too little about a background.
MIN_PIXELS = 16


def renormalise(
    images: F32,
    sigma: F32,
    flags: npt.NDArray[np.uint16],
    background: npt.NDArray[np.bool_],
) -> tuple[F32, F32]:
    """Images of what lies over a background: t and o divided, Δ and τ² less by those of the background region.

    The paper's Supplementary Fig. 4 (physics.md 6): along one ray transmissions multiply, and shifts and variances of
    the illumination curve add. ``images``, ``sigma``: (4 channels, 2 bins, rows, columns) float32; ``flags`` (2, rows,
    columns) as of :class:`kernels.Retrieval`; ``background`` (rows, columns) bool: pixels that hold the background
    alone. Its values are means over its good pixels; their uncertainty is added to ``sigma``.

    Returns new images and 1-σ. ValueError names the argument; a background with fewer than MIN_PIXELS good pixels in a
    bin, or with no transmission, is one.
    """
    given = np.asarray(images)
    if given.ndim != 4:
        raise ValueError(f"images: shape is {given.shape}, expected (4 channels, {BINS} bins, rows, columns)")
    data: F32 = checks.array("images", images, (4, BINS, None, None), np.float32)
    spread: F32 = checks.array("sigma", sigma, data.shape, np.float32)
    marks: npt.NDArray[np.uint16] = checks.array("flags", flags, data.shape[1:], np.uint16)
    region: npt.NDArray[np.bool_] = checks.array("background", background, data.shape[2:], np.bool_)
    good = region & ((marks & ~np.uint16(INFORMATIVE)) == 0) & np.isfinite(data).all(axis=0)
    counts = good.sum(axis=(1, 2))
    if counts.min() < MIN_PIXELS:
        raise ValueError(
            f"background: {int(counts.min())} good pixels in one bin, at least {MIN_PIXELS} are needed; mark a larger "
            "region that holds the background alone"
        )
    level: F64 = np.stack([data[:, b, good[b]].mean(axis=1, dtype=np.float64) for b in range(BINS)], axis=1)
    error: F64 = np.stack([data[:, b, good[b]].std(axis=1, dtype=np.float64) for b in range(BINS)], axis=1)
    error /= np.sqrt(counts)
    if (level[[0, 3]] <= 0).any():
        raise ValueError(f"background: mean transmission or offset is {level[[0, 3]].min():.3g}; nothing passes there")
    base, doubt = level[:, :, None, None].astype(np.float32), error[:, :, None, None].astype(np.float32)
    out, sd = np.empty_like(data), np.empty_like(data)
    for channel in (0, 3):
        out[channel] = data[channel] / base[channel]
        relative = doubt[channel] / base[channel]
        sd[channel] = np.hypot(spread[channel] / base[channel], out[channel] * relative)
    for channel in (1, 2):
        out[channel] = data[channel] - base[channel]
        sd[channel] = np.hypot(spread[channel], doubt[channel])
    return out, sd
