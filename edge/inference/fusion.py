"""Network and material discriminator joined into one probability.

Each of them gives log odds of a threat at a place: the network for every cell of its heat, the discriminator for every
region that it judges. Were they right and independent, the odds would multiply. They are neither quite, so the logs
are added with weights, which logistic regression finds on bags that neither has seen (``training/fuse``):

    L(place) = heat_weight · heat + material_weight · (log odds of the region there, else ``uncovered``) + bias

The discriminator's log odds are a mean over segmentations (:mod:`edge.inference.averaged`).

What is reported are the connected places at which L reaches the threshold, and the bag's score is the highest L; so a
bag alarms when and only when there is something to point at.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from edge.inference.discriminator import Posterior
from edge.inference.features import Region
from edge.inference.manifest import Fusion
from edge.inference.tiles import Bool, Planes
from kernels.types import F32, F64

#: Log odds of the discriminator beyond these say no more.
MATERIAL_LIMIT = 6.0


class Place:
    """Connected blocks within ``box`` (row and column slices); ``probability`` is the highest of them."""

    def __init__(self, box: tuple[slice, slice], mask: Bool, probabilities: F64) -> None:
        self.box, self.mask = box, mask
        self.probability = float(probabilities[box][mask].max())

    def overlap(self, region: Region) -> int:
        """Blocks that it shares with ``region``."""
        rows, columns = (_common(a, b) for a, b in zip(self.box, region.box, strict=True))
        if rows is None or columns is None:
            return 0
        mine = self.mask[_within(rows, self.box[0]), _within(columns, self.box[1])]
        its = region.mask[_within(rows, region.box[0]), _within(columns, region.box[1])]
        return int(np.count_nonzero(mine & its))


def _common(a: slice, b: slice) -> slice | None:
    start, stop = max(a.start, b.start), min(a.stop, b.stop)
    return slice(start, stop) if start < stop else None


def _within(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)


def log_odds(probability: float, limit: float = MATERIAL_LIMIT) -> float:
    """ln p / (1 − p), within ± ``limit``."""
    least = 1 / (1 + np.exp(limit))
    inside = min(max(probability, least), 1 - least)
    return float(np.log(inside / (1 - inside)))


def probability(logit: F32 | F64) -> F64:
    """1 / (1 + e^−x)."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logit.astype(np.float64), -30, 30))))


def material_map(judged: Sequence[tuple[Posterior, Region]], planes: Planes) -> F32:
    """Log odds of the discriminator per block (rows, columns); NaN where it judges nothing."""
    found = np.full(planes.good.shape, np.nan, np.float32)
    for posterior, region in judged:
        found[region.box][region.mask] = log_odds(posterior.threat)
    return found


def heat_map(heat: F32, stride: int, planes: Planes) -> F32:
    """``heat`` (cells of ``stride`` pixels) at the blocks of ``planes``, interpolated between the centres of cells."""
    rows, columns = planes.good.shape
    if not rows or not columns:
        return np.zeros((rows, columns), np.float32)
    # The part of the cells that whole blocks cover; PIL takes it in cells, (left, upper, right, lower).
    part = (0.0, 0.0, columns * planes.block_columns / stride, rows * planes.block_rows / stride)
    picture = Image.fromarray(np.ascontiguousarray(heat))
    return np.asarray(picture.resize((columns, rows), Image.Resampling.BILINEAR, box=part), np.float32)


def fuse(heat: F32, material: F32, fusion: Fusion) -> F32:
    """L of every block. ``material``: NaN where the discriminator judges nothing."""
    material = np.where(np.isnan(material), np.float32(fusion.uncovered), material)
    return np.asarray(fusion.heat_weight * heat + fusion.material_weight * material + fusion.bias, np.float32)


def places(probabilities: F64, threshold: float) -> list[Place]:
    """Connected blocks (sides and corners) at which the threshold is reached, the likeliest first."""
    labels, _ = ndimage.label(probabilities >= threshold, structure=np.ones((3, 3)))
    boxes = ndimage.find_objects(labels)
    found = [Place(box, labels[box] == k, probabilities) for k, box in enumerate(boxes, start=1)]
    return sorted(found, key=lambda place: -place.probability)
