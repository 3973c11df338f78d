"""What network and discriminator together say about a bag: places that alarm, and what does not."""

from __future__ import annotations

import numpy as np

from edge import saliency
from edge.inference import fusion
from edge.inference.averaged import evidence
from edge.inference.detector import Findings
from edge.inference.examination import (
    Judgement,
    MaterialDetector,
    category,
    is_clipped,
    material_of,
    opaque_objects,
    shape_of,
)
from edge.inference.network import Network
from edge.messages import DetectedObject
from kernels.types import F32, F64

#: A place is of the material of the region that covers so much of it.
LEAST_COVER = 0.25


def fused_probabilities(material: MaterialDetector, network: Network, judgement: Judgement, heat: F32) -> F64:
    """Probability of a threat per block, of network and discriminator together."""
    rule = network.graph.fusion
    assert rule is not None
    odds = evidence(material, judgement, rule.smoothings, rule.softness)
    at_blocks = fusion.heat_map(heat, network.manifest.stride, judgement.planes)
    return fusion.probability(fusion.fuse(at_blocks, odds, rule))


def fused_findings(
    material: MaterialDetector, network: Network, judgement: Judgement, heat: F32, threshold: float
) -> Findings:
    """Findings of a bag with the pooled ``heat`` (cells of rows, cells of columns) of ``network``."""
    blocks, clipped = judgement.planes, is_clipped(judgement.planes, material.settings)
    alone = network.probability(float(heat.max())) if heat.size else 0.0
    contributions = {network.bundle.id: alone, material.identity.id: judgement.score}
    probabilities = fused_probabilities(material, network, judgement, heat)
    if not probabilities.size or not heat.size:
        return Findings(0.0, clipped=clipped, contributions=contributions)
    scale, offset = network.graph.platt
    cells = fusion.probability(np.float32(scale) * heat + np.float32(offset)).astype(np.float32)
    stride = network.manifest.stride
    found = fusion.places(probabilities, threshold)
    # Specks beside it are noise of the same thing; the likeliest place is told whatever its size.
    places = found[:1] + [p for p in found[1:] if blocks.area_mm2(p.mask) >= material.min_area_mm2]
    # What alarms comes first, then what could not be judged, then the rest; outlines are drawn only for what is told.
    most = material.settings.max_objects
    objects = [_alarming(material, judgement, place, cells, stride) for place in places[:most]]
    objects = [*objects, *opaque_objects(blocks, material.min_area_mm2)][:most]
    for posterior, region in judgement.judged:
        if len(objects) == most:
            break
        if 2 * sum(place.overlap(region) for place in places) > np.count_nonzero(region.mask):
            continue
        here = probabilities[region.box][region.mask]
        told = posterior.with_threat(float(here[here < threshold].max(initial=0.0)), material.discriminator.threat)
        objects.append(
            DetectedObject.model_validate(
                {
                    **shape_of(region.mask, region.box, blocks),
                    **material_of(material.discriminator, told, region),
                    "probability": told.threat,
                    "category": category(told),
                }
            )
        )
    whole = saliency.encode(cells, (0, 0, cells.shape[0] * stride, cells.shape[1] * stride))
    return Findings(float(probabilities.max()), tuple(objects), clipped, contributions, whole)


def _alarming(
    material: MaterialDetector, judgement: Judgement, place: fusion.Place, cells: F32, stride: int
) -> DetectedObject:
    """A place that alarms, with the material of the region that covers most of it."""
    fields = shape_of(place.mask, place.box, judgement.planes)
    covers = [(place.overlap(region), k) for k, (_, region) in enumerate(judgement.judged)]
    cover, k = max(covers, default=(0, 0))
    if cover >= LEAST_COVER * np.count_nonzero(place.mask):
        posterior, region = judgement.judged[k]
        told = posterior.with_threat(place.probability, material.discriminator.threat)
        fields |= material_of(material.discriminator, told, region)
    found = DetectedObject.model_validate({**fields, "probability": place.probability, "category": "explosive"})
    return found.model_copy(update={"saliency": saliency.crop(cells, stride, found.box)})
