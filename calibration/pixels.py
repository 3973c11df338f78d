"""Which pixels may be used: dead, hot and flickering ones found by robust statistics on the flat mask scan."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.recorder import Average
from firmware_bridge.scanner import BINS, GROUPS

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]

#: A pixel is an outlier beyond this many robust standard deviations of its group in its row and the rows around …
OUTLIER_SIGMA = 8.0
#: … and beyond this fraction: a modest gain is divided out by the flat, it harms nothing.
OUTLIER_FRACTION = 0.35
#: Variance over mean of counts is 1 for photons; a stuck pixel has 0, a flickering one many times 1.
FANO = (0.4, 2.5)
#: Fewer good pixels than this in one group of one row make the row useless for that group.
MIN_GOOD_PER_GROUP = 8
_MAD_TO_SIGMA = 1.4826
#: Kinds of the pixel map.
GOOD, DEAD, HOT, NOISY = range(4)
#: A pixel is dead when fewer counts than this part of its neighbours' come; it must be less by this many σ as well.
DEAD_FRACTION, DEAD_SIGMA = 0.5, 6.0
#: Variance over mean is itself uncertain; it must miss its limits by this many σ.
FANO_SIGMA = 6.0


def pixel_kinds(light: Average, hot: npt.NDArray[np.bool_]) -> U8:
    """What each pixel is, (rows, columns) uint8, from frames at one mask position and the ``hot`` ones of the dark.

    Half of the groups may stand in the dark of their curves: what few photons cannot tell is left to the fine scan.
    """
    mean, frames = light.mean.astype(np.float64), light.frames
    kinds = np.zeros(mean.shape[1:], np.uint8)
    variance = light.scatter / max(frames - 1, 1)
    fano = np.divide(variance, mean, out=np.ones_like(mean), where=mean > 0)
    sd = np.sqrt(2.0 / max(frames - 1, 1) + 1.0 / np.maximum(frames * mean, 1.0))
    noisy = (fano < FANO[0] - FANO_SIGMA * sd) | (fano > FANO[1] + FANO_SIGMA * sd)
    kinds[noisy.any(axis=0)] = NOISY
    for group in range(GROUPS):
        block = mean[..., group::GROUPS]
        centre = np.median(block, axis=-1, keepdims=True)
        spread = _MAD_TO_SIGMA * np.median(np.abs(block - centre), axis=-1, keepdims=True)
        high = (block - centre > OUTLIER_SIGMA * np.maximum(spread, np.sqrt(centre / frames))) & (block > 2 * centre)
        # In units of counts over all frames, both bins together: a dead crystal is dead in both.
        total, expected = frames * block.sum(axis=0), frames * centre.sum(axis=0)
        dead = (total < DEAD_FRACTION * expected) & (expected - total > DEAD_SIGMA * np.sqrt(expected))
        view = kinds[:, group::GROUPS]
        view[high.any(axis=0)] = HOT
        view[dead] = DEAD
    kinds[hot] = HOT
    return kinds


def usable(kinds: U8) -> U8:
    """Mask (2, rows, columns) of the good ones."""
    good = (kinds == GOOD).astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(good, (len(BINS), *kinds.shape)))


def good_pixels(mean: F32, fano: F32) -> U8:
    """1 where a pixel may be used, else 0: uint8, the shape of ``mean``.

    ``mean`` (2, rows, columns): counts per frame averaged over the whole mask scan, so that every group has seen its
    whole curve. ``fano`` (2, rows, columns): variance over mean of the frames at a fixed mask position. A pixel that
    is bad in one bin is bad in both: the two thresholds read the same crystal.
    """
    bad = np.zeros(mean.shape, bool)
    for group in range(GROUPS):
        block = mean[..., group::GROUPS]
        # The columns of one row share their illumination; a few dozen of them give a robust centre and spread.
        centre = np.median(block, axis=-1, keepdims=True)
        spread = _MAD_TO_SIGMA * np.median(np.abs(block - centre), axis=-1, keepdims=True)
        deviation = np.abs(block - centre)
        bad[..., group::GROUPS] = (deviation > OUTLIER_SIGMA * spread) & (deviation > OUTLIER_FRACTION * centre)
    bad |= ~(mean > 0) | (fano < FANO[0]) | (fano > FANO[1])
    either = bad.any(axis=0, keepdims=True)
    return np.ascontiguousarray(np.broadcast_to(~either, mean.shape), dtype=np.uint8)


def live_rows(good: U8) -> npt.NDArray[np.bool_]:
    """Rows in which every group keeps enough good pixels: bool (rows,)."""
    bins, rows, columns = good.shape
    per_group = good.reshape(bins, rows, columns // GROUPS, GROUPS).sum(axis=2)
    return np.asarray((per_group >= min(MIN_GOOD_PER_GROUP, columns // GROUPS)).all(axis=(0, 2)))


def group_means(counts: F32, good: U8) -> F32:
    """Mean counts of the good pixels of each group: (..., 2, rows, columns) → (..., 4, 2, rows).

    A row with too few good pixels takes the values of the nearest live row: its pixels stay masked, but the fit
    of its curve must not fail.
    """
    live = np.flatnonzero(live_rows(good))
    if live.size == 0:
        raise ValueError("pixel mask: no row has enough good pixels in every group; check detector and beam")
    rows = counts.shape[-2]
    nearest = live[np.abs(live[None, :] - np.arange(rows)[:, None]).argmin(axis=1)]
    groups = []
    for group in range(GROUPS):
        weight = good[..., group::GROUPS].astype(np.float64)
        total = (counts[..., group::GROUPS] * weight).sum(axis=-1)
        groups.append((total / np.maximum(weight.sum(axis=-1), 1))[..., nearest])
    return np.ascontiguousarray(np.stack(groups, axis=-3), dtype=np.float32)
