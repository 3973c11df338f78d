"""Block planes to homogeneous regions: watershed on the edges, then merging of what does not differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edge.inference.settings import Settings
from edge.inference.tiles import Planes
from kernels.types import F32, F64

I32 = npt.NDArray[np.int32]

#: Labels with a fixed meaning; regions of material start at FIRST.
UNSEEN, AIR, FIRST = 0, 1, 2
#: Planes that edges and merging look at: −ln t low, −ln t high, τ² low. (High-bin τ² is mostly noise per block.)
CHANNELS = (0, 1, 4)
#: Edge strengths are quantised to this many levels for the flooding.
LEVELS = 255
_STRONGEST_EDGE = 40.0
#: Size of the window in which the scatter of a block about its surroundings is taken.
_TEXTURE_BLOCKS = 7
#: Contact of two regions, in block sides, from which no edge is between them.
_CONTACT = 4
_MAX_ROUNDS = 60


@dataclass(frozen=True)
class _Regions:
    """Sums over the blocks of each label: count (n,), channels (3, n), variance of one block (3, n)."""

    count: F64
    total: F64
    variance: F64

    @property
    def mean(self) -> F64:
        return self.total / np.maximum(self.count, 1)


def segment(planes: Planes, settings: Settings) -> I32:
    """Label image (rows, columns) of blocks: UNSEEN (unusable, opaque or an edge), AIR, then one label per region."""
    shape = planes.good.shape
    if not planes.good.any():
        return np.where(planes.good, AIR, UNSEEN).astype(np.int32).reshape(shape)
    channels, variance = _filled(planes)
    smooth = ndimage.gaussian_filter(channels, (0, settings.smooth_blocks, settings.smooth_blocks))
    variance = _with_texture(channels, smooth, variance)
    strength = _edge_strength(smooth, variance, settings)
    labels = _flood(strength)
    labels[(smooth[0] < settings.object_attenuation) & (strength < settings.edge)] = AIR
    labels[~planes.good | (strength >= settings.edge)] = UNSEEN
    return _without_slivers(_merge(labels, channels, variance, settings), settings)


def inner(labels: I32) -> npt.NDArray[np.bool_]:
    """Blocks whose four neighbours have the same label (beyond the image counts as the same)."""
    cross = ndimage.generate_binary_structure(2, 1)
    low = ndimage.minimum_filter(labels, footprint=cross, mode="nearest")
    same: npt.NDArray[np.bool_] = low == ndimage.maximum_filter(labels, footprint=cross, mode="nearest")
    return same


def _without_slivers(labels: I32, settings: Settings) -> I32:
    """Specks join the region they lie in; rims and walls, of which little but border is left, become UNSEEN."""
    n = int(labels.max()) + 1
    count = np.bincount(labels.ravel(), minlength=n)
    speck = (count < settings.speck_blocks)[labels] & (labels >= FIRST)
    if speck.any():
        around = (labels != UNSEEN) & ~speck
        if around.any():
            nearest = ndimage.distance_transform_edt(~around, return_distances=False, return_indices=True)
            labels = np.where(speck, labels[nearest[0], nearest[1]], labels)
    count = np.bincount(labels.ravel(), minlength=n)
    core = np.bincount(labels.ravel(), inner(labels).ravel().astype(np.float64), n)
    sliver = core < settings.min_core * count
    sliver[:FIRST] = False
    return np.where(sliver[labels], UNSEEN, labels).astype(np.int32)


def _filled(planes: Planes) -> tuple[F32, F32]:
    """The channels with unusable blocks replaced by the nearest usable ones (only so that edges stay local)."""
    channels, variance = planes.values[list(CHANNELS)], planes.variance[list(CHANNELS)]
    if planes.good.all():
        return channels, variance
    nearest = ndimage.distance_transform_edt(~planes.good, return_distances=False, return_indices=True)
    return channels[:, nearest[0], nearest[1]], variance[:, nearest[0], nearest[1]]


def _with_texture(channels: F32, smooth: F32, variance: F32) -> F32:
    """Variance of a block with that of the material's own grain in the dark-field, seen as scatter about ``smooth``."""
    scatter = ndimage.uniform_filter((channels[2] - smooth[2]) ** 2, _TEXTURE_BLOCKS)
    noise = ndimage.uniform_filter(variance, (0, 3, 3))
    noise[2] = np.maximum(noise[2], scatter)
    return np.asarray(noise, np.float32)


def _tolerance(mean: F32 | F64, settings: Settings) -> F64:
    """1-σ by which one object may vary: (3, …) for means (3, …)."""
    tables = (settings.merge_attenuation, settings.merge_attenuation, settings.merge_dark_field)
    parts: list[F64] = [a + f * np.abs(mean[k].astype(np.float64)) for k, (a, f) in enumerate(tables)]
    return np.stack(parts)


def _edge_strength(smooth: F32, variance: F32, settings: Settings) -> F32:
    """Gradient of the smoothed channels, per block, in units of its noise and of the tolerated variation."""
    along_rows, along_columns = np.gradient(smooth, axis=(1, 2))
    # A Gaussian of standard deviation s divides the variance of a derivative by 8 π s⁴.
    noise = variance / (8 * np.pi * settings.smooth_blocks**4)
    scale = noise + _tolerance(smooth, settings) ** 2
    strength = np.sqrt(((along_rows**2 + along_columns**2) / scale).sum(0))
    return np.asarray(strength, np.float32)


def _flood(strength: F32) -> I32:
    """Watershed basins of the edge strength, one from each of its local minima. Labels from FIRST."""
    levels = (np.minimum(np.sqrt(strength / _STRONGEST_EDGE), 1) * LEVELS).astype(np.uint8)
    minima = levels == ndimage.minimum_filter(levels, 3)
    markers, _ = ndimage.label(minima, structure=np.ones((3, 3)))
    flooded: I32 = ndimage.watershed_ift(levels, markers.astype(np.int32), structure=np.ones((3, 3))).astype(np.int32)
    return flooded + (FIRST - 1)


def touching(labels: I32) -> npt.NDArray[np.int64]:
    """Ordered pairs of regions that touch without an edge between them along :data:`_CONTACT` blocks or more: (n, 2).

    They are parts of one thing whose thickness or cover changes; neither is what the other lies on.
    """
    sides = ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:]))
    pairs = np.concatenate([np.stack([a[a != b], b[a != b]], 1) for a, b in sides]).astype(np.int64)
    pairs = pairs[(pairs >= FIRST).all(1)]
    pairs.sort(axis=1)
    width = int(labels.max()) + 1
    keys, contact = np.unique(pairs[:, 0] * width + pairs[:, 1], return_counts=True)
    keys = keys[contact >= _CONTACT]
    one = np.stack([keys // width, keys % width], 1)
    return np.concatenate([one, one[:, ::-1]])


def _sums(labels: I32, channels: F32, variance: F32) -> _Regions:
    flat, n = labels.ravel(), int(labels.max()) + 1
    count = np.bincount(flat, minlength=n).astype(np.float64)

    def per_label(planes: F32) -> F64:
        return np.stack([np.bincount(flat, plane.ravel().astype(np.float64), n) for plane in planes])

    return _Regions(count, per_label(channels), per_label(variance) / np.maximum(count, 1))


def _borders(labels: I32) -> npt.NDArray[np.int64]:
    """Pairs (low, high) of touching material labels, each once: (pairs, 2)."""
    sides = ((labels[:, :-1], labels[:, 1:]), (labels[:-1], labels[1:]))
    pairs = np.concatenate([np.stack([a[a != b], b[a != b]], 1) for a, b in sides]).astype(np.int64)
    return _once(pairs[(pairs >= FIRST).all(1)], int(labels.max()) + 1)


def _once(pairs: npt.NDArray[np.int64], n: int) -> npt.NDArray[np.int64]:
    """The different pairs of labels below ``n``, each once and low label first, in ascending order."""
    low, high = pairs.min(1), pairs.max(1)
    keys = np.unique((low * n + high)[low != high])
    return np.stack([keys // n, keys % n], 1)


def _merge(labels: I32, channels: F32, variance: F32, settings: Settings) -> I32:
    """Join touching regions, in each round those that are each other's closest, until the closest differ."""
    regions, pairs = _sums(labels, channels, variance), _borders(labels)
    parent = np.arange(len(regions.count))
    for _ in range(_MAX_ROUNDS):
        if not len(pairs):
            break
        distance = _distance(regions, pairs, settings)
        keep, drop = _mutual(pairs, distance, len(parent), settings.merge_distance**2)
        if not len(keep):
            break
        renamed = np.arange(len(parent))
        renamed[drop] = keep
        regions = _joined(regions, keep, drop)
        parent = renamed[parent]
        pairs = _once(renamed[pairs], len(parent))
    merged = parent[labels]
    _, dense = np.unique(merged[merged >= FIRST], return_inverse=True)
    merged[merged >= FIRST] = dense + FIRST
    return merged.astype(np.int32)


def _distance(regions: _Regions, pairs: npt.NDArray[np.int64], settings: Settings) -> F64:
    """Squared difference of each pair in units of noise and tolerance, worst channel."""
    a, b = pairs.T
    mean = regions.mean
    count = np.maximum(regions.count, 1)
    noise = regions.variance[:, a] / count[a] + regions.variance[:, b] / count[b]
    tolerance = _tolerance(np.minimum(mean[:, a], mean[:, b]), settings)
    worst: F64 = ((mean[:, a] - mean[:, b]) ** 2 / (noise + tolerance**2)).max(0)
    return worst


def _mutual(
    pairs: npt.NDArray[np.int64], distance: F64, n: int, limit: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Of the pairs below ``limit``, those in which each is the other's closest: (kept labels, dropped labels)."""
    near = np.flatnonzero(distance < limit)
    order = near[np.argsort(distance[near], kind="stable")]
    sequence = np.arange(len(order))
    best = np.full(n, len(order))
    a, b = pairs[order].T
    np.minimum.at(best, a, sequence)
    np.minimum.at(best, b, sequence)
    chosen = (best[a] == sequence) & (best[b] == sequence)
    return a[chosen], b[chosen]


def _joined(regions: _Regions, keep: npt.NDArray[np.int64], drop: npt.NDArray[np.int64]) -> _Regions:
    count, total, variance = regions.count.copy(), regions.total.copy(), regions.variance.copy()
    both = np.maximum(count[keep] + count[drop], 1)
    variance[:, keep] = (variance[:, keep] * count[keep] + variance[:, drop] * count[drop]) / both
    count[keep] += count[drop]
    total[:, keep] += total[:, drop]
    return _Regions(count, total, variance)
