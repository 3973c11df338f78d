"""The detector of a lane: the material discriminator, the active network fused with it, another one in the shadow.

Each network runs on the columns as they come. What a shadow does, or fails to do, never touches the verdict.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from edge.inference.detector import Findings, Geometry, ModelIdentity, Tile
from edge.inference.examination import Judgement, MaterialDetector, MaterialExamination
from edge.inference.fused_report import fused_findings, fused_probabilities
from edge.inference.heat import pooled
from edge.inference.image_stream import ImageStream
from edge.inference.network import Network
from edge.messages import ShadowJudgement
from kernels.types import F32

log = logging.getLogger("inference")


class LaneDetector:
    """Satisfies :class:`edge.inference.detector.Detector`.

    ``active``: its graph must have a fusion. ``threshold``: None takes that of the fusion, or of the discriminator.
    """

    def __init__(
        self,
        material: MaterialDetector,
        active: Network | None = None,
        shadow: Network | None = None,
        threshold: float | None = None,
    ) -> None:
        self.material, self.active, self.shadow = material, active, shadow
        self._threshold = material.threshold
        if active is not None:
            assert active.graph.fusion is not None
            self._threshold = active.graph.fusion.threshold if threshold is None else threshold

    @property
    def identity(self) -> ModelIdentity:
        """The network's, or the discriminator's where there is none."""
        return self.material.identity if self.active is None else identity_of(self.active)

    @property
    def threshold(self) -> float:
        """Score from which a bag alarms."""
        return self._threshold

    def open(self, geometry: Geometry) -> LaneExamination:
        """Start on a new bag."""
        return LaneExamination(self, geometry)


class LaneExamination:
    """One bag."""

    def __init__(self, detector: LaneDetector, geometry: Geometry) -> None:
        self._detector = detector
        self._material: MaterialExamination = detector.material.open(geometry)
        self._active = detector.active.stream(geometry) if detector.active else None
        self._shadow: ImageStream | None = None
        self._shadow_failed = ""
        if detector.shadow is not None:
            try:
                self._shadow = detector.shadow.stream(geometry)
            except ValueError as error:
                self._shadow_failed = str(error)

    def add(self, tile: Tile) -> None:
        """Average the tile to blocks, and run every network as far as it comes."""
        self._material.add(tile)
        active, shadow = self._detector.active, self._detector.shadow
        if self._active is not None and active is not None:
            active.feed(self._active, tile)
        if self._shadow is not None and shadow is not None:
            try:
                shadow.feed(self._shadow, tile)
            except Exception as error:
                self._lose_shadow(error)

    def finish(self) -> Findings:
        """Judge the bag."""
        network, judgement = self._detector.active, self._material.judge()
        if network is None or self._active is None:
            findings = self._material.report(judgement)
        else:
            findings = fused_findings(
                self._detector.material, network, judgement, finished(self._active, network), self._detector.threshold
            )
        return replace(findings, shadow=self._shadow_judgement(judgement)) if self._detector.shadow else findings

    def _shadow_judgement(self, judgement: Judgement) -> ShadowJudgement:
        network = self._detector.shadow
        assert network is not None
        score = None
        if self._shadow is not None:
            try:
                heat = finished(self._shadow, network)
                score = score_of(self._detector.material, network, heat, judgement)
            except Exception as error:
                self._lose_shadow(error)
        who, fused = identity_of(network), network.graph.fusion
        return ShadowJudgement(
            model_id=who.id,
            model_version=who.version,
            model_sha256=who.sha256,
            runtime=who.runtime,
            score=score,
            threshold=fused.threshold if fused else network.graph.threshold,
            detail=self._shadow_failed,
        )

    def _lose_shadow(self, error: Exception) -> None:
        assert self._detector.shadow is not None
        self._shadow, self._shadow_failed = None, f"{error}"[:200]
        log.error("shadow model %s failed and is left out of this bag: %s", self._detector.shadow.bundle.id, error)


def identity_of(network: Network) -> ModelIdentity:
    """How verdicts name a network."""
    bundle = network.bundle
    return ModelIdentity(bundle.id, bundle.manifest.version, bundle.digest, network.runtime.name)


def finished(stream: ImageStream, network: Network) -> F32:
    """The bag's heat after its last column, pooled to logits. ValueError when it is not finite."""
    heat = pooled(stream.finish(), network.manifest.pooling)
    if not np.isfinite(heat).all():
        raise ValueError(
            f"{network.bundle.id}: {np.count_nonzero(~np.isfinite(heat))} cells of its heat are no numbers"
        )
    return heat


def score_of(material: MaterialDetector, network: Network, heat: F32, judgement: Judgement) -> float:
    """What the bag's score would be if ``network`` were active; its own calibrated score when it cannot be."""
    if not heat.size:
        return 0.0
    if network.graph.fusion is None:
        return network.probability(float(heat.max()))
    return float(fused_probabilities(material, network, judgement, heat).max(initial=0.0))
