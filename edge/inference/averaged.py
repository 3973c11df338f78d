"""The discriminator's evidence as a fusion takes it: averaged over segmentations, without the steps of its trees.

Another scan of the same bag is cut into other regions, and what moves a little falls on the other side of a split:
both make log odds jump (docs/explanation/drift.md). What is averaged, and how soft the splits are, belongs to the
fitted rule (:class:`edge.inference.manifest.Fusion`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from edge.inference import fusion
from edge.inference.examination import Judgement, MaterialDetector, Regions, judged_regions
from kernels.types import F32


def evidence(material: MaterialDetector, judgement: Judgement, smoothings: Sequence[float], softness: float) -> F32:
    """Log odds of a threat per block (rows, columns); NaN where no segmentation has a region that is judged.

    One segmentation for each of ``smoothings`` (1-σ, blocks); ``softness``: see :meth:`~Decision.log_odds`.
    """
    maps = np.stack([_map(material, judgement, smoothing, softness) for smoothing in smoothings])
    seen = ~np.isnan(maps)
    total, count = np.where(seen, maps, np.float32(0)).sum(0), seen.sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)


def _map(material: MaterialDetector, judgement: Judgement, smoothing: float, softness: float) -> F32:
    soft = material.discriminator.softened
    judged = [(soft(found, softness), region) for found, region in _judged(material, judgement, smoothing)]
    return fusion.material_map(judged, judgement.planes)


def _judged(material: MaterialDetector, judgement: Judgement, smoothing: float) -> Regions:
    if smoothing not in judgement.segmented:  # a shadow may ask for the same
        settings = replace(material.settings, smooth_blocks=smoothing)
        judgement.segmented[smoothing] = judged_regions(material, judgement.planes, settings)
    return judgement.segmented[smoothing]
