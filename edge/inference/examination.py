"""The material discriminator as a detector: blocks while the bag passes, regions and materials at its end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from edge.inference.detector import Findings, Geometry, ModelIdentity, Tile
from edge.inference.discriminator import Discriminator, Posterior
from edge.inference.features import FEATURES, Region, Step, dark_field_ratio, ratios, regions
from edge.inference.model_file import ModelFile
from edge.inference.outline import outline
from edge.inference.regions import segment
from edge.inference.settings import SETTINGS, Settings
from edge.inference.tiles import BlockAverager, Bool, Planes
from edge.messages import DetectedObject

#: A bag of which a smaller share can be used is not judged at all.
LEAST_SEEN = 0.5


class MaterialDetector:
    """Judges every region of a bag by its material. Satisfies :class:`edge.inference.detector.Detector`.

    ``threshold``: None takes the model's own. Regions below ``min_area_mm2`` are not judged.
    """

    def __init__(
        self, model: ModelFile, *, min_area_mm2: float, threshold: float | None = None, settings: Settings = SETTINGS
    ) -> None:
        self.discriminator = Discriminator(model)
        self.min_area_mm2 = min_area_mm2
        self.settings = settings
        self._threshold = model.threshold if threshold is None else threshold
        manifest = model.manifest
        self._identity = ModelIdentity(manifest.id, manifest.version, manifest.sha256, "numpy")

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self._identity

    @property
    def threshold(self) -> float:
        """Probability from which a region is called an explosive."""
        return self._threshold

    def open(self, geometry: Geometry) -> MaterialExamination:
        """Start on a new bag."""
        return MaterialExamination(self, geometry)


#: Every region that is judged, the likeliest threat first.
Regions = tuple[tuple[Posterior, Region], ...]


@dataclass(frozen=True)
class Judgement:
    """What the discriminator makes of a bag.

    ``segmented``: its regions by the smoothing (blocks) that they were sought with, as far as anybody asked.
    """

    planes: Planes
    judged: Regions
    segmented: dict[float, Regions] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Highest probability of a region."""
        return self.judged[0][0].threat if self.judged else 0.0


class MaterialExamination:
    """One bag under the material discriminator."""

    def __init__(self, detector: MaterialDetector, geometry: Geometry) -> None:
        self._detector = detector
        self._blocks = BlockAverager(geometry, detector.settings)

    def add(self, tile: Tile) -> None:
        """Average the tile's pixels to blocks."""
        self._blocks.add(tile)

    def judge(self) -> Judgement:
        """Segment the bag and judge each region. ValueError when too little of it can be used to judge it."""
        detector, planes = self._detector, self._blocks.planes()
        seen = planes.good | planes.opaque
        if seen.size and seen.mean() < LEAST_SEEN:
            raise ValueError(f"only {seen.mean():.0%} of the image can be used, {LEAST_SEEN:.0%} are needed")
        judged = judged_regions(detector, planes, detector.settings)
        return Judgement(planes, judged, {detector.settings.smooth_blocks: judged})

    def finish(self) -> Findings:
        """Judge the bag and report."""
        return self.report(self.judge())

    def report(self, judgement: Judgement) -> Findings:
        """Every region, and each area that is too dense to judge."""
        detector, planes, judged = self._detector, judgement.planes, judgement.judged
        opaque = opaque_objects(planes, detector.min_area_mm2)
        alarming = sum(posterior.threat >= detector.threshold for posterior, _ in judged)
        # What alarms comes first, then what could not be judged; outlines are drawn only for what is reported.
        most = detector.settings.max_objects
        objects = [self._object(*pair, planes) for pair in judged[:alarming]][:most] + opaque
        objects = objects[:most] + [self._object(*pair, planes) for pair in judged[alarming:][: most - len(objects)]]
        return Findings(judgement.score, tuple(objects), is_clipped(planes, detector.settings))

    def _object(self, posterior: Posterior, region: Region, planes: Planes) -> DetectedObject:
        explosive = posterior.threat >= self._detector.threshold
        return DetectedObject.model_validate(
            {
                **shape_of(region.mask, region.box, planes),
                **material_of(self._detector.discriminator, posterior, region),
                "probability": posterior.threat,
                "category": "explosive" if explosive else category(posterior),
            }
        )


def judged_regions(detector: MaterialDetector, planes: Planes, settings: Settings) -> Regions:
    """Segment ``planes`` under ``settings`` and judge each region."""
    judged = []
    for region in regions(planes, segment(planes, settings), detector.min_area_mm2, settings):
        posterior = detector.discriminator.judge(region.steps, planes.area_mm2(region.mask))
        if posterior is not None:
            judged.append((posterior, region))
    return tuple(sorted(judged, key=lambda pair: -pair[0].threat))


def category(posterior: Posterior) -> str:
    """What a region is that does not alarm."""
    return "unknown" if posterior.outlier > 0.5 else "benign"


def material_of(discriminator: Discriminator, posterior: Posterior, region: Region) -> dict[str, object]:
    """Candidates and measured ratios of a region, as fields of :class:`DetectedObject`."""
    main = max((step for step in region.steps if not step.within), key=lambda step: step.share)
    return {"candidates": discriminator.candidates(posterior), "features": _features(main)}


def _features(step: Step) -> dict[str, float]:
    """The ratios of the step with their 1-σ (``sd …``), its attenuation and that of its background."""
    values, covariance = ratios(step)
    named = dict(zip(FEATURES, values.tolist(), strict=True))
    named |= {f"sd {n}": float(s) for n, s in zip(FEATURES, np.sqrt(np.diag(covariance)), strict=True)}
    dark = dark_field_ratio(step)
    if dark is not None:
        named |= {"R_df": dark[0], "sd R_df": dark[1]}
    named |= {"attenuation low": step.attenuation, "background attenuation low": step.base[0]}
    return {key: value for key, value in named.items() if math.isfinite(value)}


def shape_of(mask: Bool, box: tuple[slice, slice], planes: Planes) -> dict[str, object]:
    """Box and polygon in pixels, and the area."""
    br, bc = planes.block_rows, planes.block_columns
    row, column = box[0].start, box[1].start
    return {
        "box": (row * br, column * bc, box[0].stop * br, box[1].stop * bc),
        "polygon": tuple(((r + row) * br, (c + column) * bc) for r, c in outline(mask)),
        "area_mm2": planes.area_mm2(mask),
    }


def opaque_objects(planes: Planes, min_area_mm2: float) -> list[DetectedObject]:
    """Connected areas that are too dense to judge; they carry no threat probability of their own."""
    labels, _ = ndimage.label(planes.opaque)
    found = []
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        mask = labels[box] == label
        if planes.area_mm2(mask) >= min_area_mm2:
            shape = shape_of(mask, box, planes)
            found.append(DetectedObject.model_validate({**shape, "probability": 0.0, "category": "opaque"}))
    return sorted(found, key=lambda o: -o.area_mm2)


def is_clipped(planes: Planes, settings: Settings) -> bool:
    """Whether something lies on the outermost two block rows at the top or the bottom of the field."""
    if planes.good.shape[0] < 4 or not planes.good.shape[1]:
        return False
    length = max(1, round(settings.clip_mm / planes.block_mm[1]))
    for edge in (slice(0, 2), slice(-2, None)):
        seen = planes.good[edge] | planes.opaque[edge]
        attenuation = np.where(planes.opaque[edge], 1.0, np.where(planes.good[edge], planes.values[0, edge], 0.0))
        profile = attenuation.sum(0) / np.maximum(seen.sum(0), 1)
        if (ndimage.uniform_filter1d(profile, length, mode="constant") > settings.clip_attenuation).any():
            return True
    return False
