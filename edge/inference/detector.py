"""The seam behind which every detector lives: tiles of columns go in, objects and a score come out.

A detector is opened once per bag and is given the columns as they arrive, so that most of its work is done
before the bag has left the beam. The material discriminator (:mod:`edge.inference.examination`) is one; a network
fused with it (:mod:`edge.inference.lane_detector`) is the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from edge.messages import DetectedObject, Saliency, ShadowJudgement
from kernels.types import F32, U16


@dataclass(frozen=True)
class ModelIdentity:
    """Which model judged a bag, and what executed it: ``numpy``, ``onnxruntime-int8``, …"""

    id: str
    version: str
    sha256: str
    runtime: str


@dataclass(frozen=True)
class Geometry:
    """Size of the image grid: ``rows`` of ``row_pitch_um``, columns of ``grid_um`` (both µm in the object plane)."""

    rows: int
    row_pitch_um: float
    grid_um: float


@dataclass(frozen=True)
class Tile:
    """All rows of some consecutive columns: ``images`` and ``sigma`` (4, 2, rows, n), ``flags`` (2, rows, n)."""

    column0: int
    images: F32
    sigma: F32
    flags: U16


@dataclass(frozen=True)
class Findings:
    """What a detector says about one bag: ``score`` is the probability that it holds a threat.

    ``clipped``: the bag reaches beyond the first or last row, so part of it was not seen. ``contributions``: the
    probability that each model alone gives, by model id. ``saliency``: of the network. ``shadow``: what a model that
    has no say found.
    """

    score: float
    objects: tuple[DetectedObject, ...] = ()
    clipped: bool = False
    contributions: dict[str, float] = field(default_factory=dict)
    saliency: Saliency | None = None
    shadow: ShadowJudgement | None = None


class Examination(Protocol):
    """One bag being examined."""

    def add(self, tile: Tile) -> None:
        """Take the next columns; they follow the previous ones without a gap."""

    def finish(self) -> Findings:
        """Judge the bag from all columns added."""


class Detector(Protocol):
    """A loaded model."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""

    @property
    def threshold(self) -> float:
        """Score from which the model calls a bag a threat, as chosen on its training seeds."""

    def open(self, geometry: Geometry) -> Examination:
        """Start on a new bag."""
