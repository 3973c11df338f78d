"""What a model bundle says about itself."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from edge.inference.planes import PLANES
from edge.inference.settings import SETTINGS

#: Raised whenever a stored field changes its meaning.
FORMAT: Final = "darklane-model/1"
#: Which of a bundle's graphs runs; ``tensorrt`` is the one with symmetric quantisation, for GPUs only.
Precision = Literal["fp32", "int8", "tensorrt"]
#: 1-σ of the smoothing before the discriminator seeks edges, blocks.
Smoothing = Annotated[float, Field(gt=0, le=4)]
_SHA256 = r"^[0-9a-f]{64}$"
_FILE = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Inputs(_Part):
    """The images that the network was trained on; it judges no others."""

    planes: tuple[str, ...] = Field(min_length=1, description="names of edge.inference.planes.PLANES, in graph order")
    row_pitch_um: float = Field(gt=0)
    grid_um: float = Field(gt=0)
    tube_kv: tuple[int, ...] = Field(min_length=1, description="tube voltages that it was trained for, kV")
    normalisation: dict[str, tuple[float, float]] = Field(
        default_factory=dict, description="mean and standard deviation of each plane; they lie inside the graph"
    )

    @model_validator(mode="after")
    def _known(self) -> Inputs:
        unknown = [name for name in self.planes if name not in PLANES]
        if unknown:
            raise ValueError(f"planes {unknown} are not among those this software makes ({', '.join(PLANES)})")
        return self


class Pooling(_Part):
    """How the bag's logit follows from the heat: scale · max(mean of ``window`` × ``window`` cells) + offset.

    Cells beyond the border do not count in the mean.
    """

    window: int = Field(1, ge=1, le=15, description="odd number of cells")
    scale: float = Field(1.0, gt=0)
    offset: float = 0.0

    @model_validator(mode="after")
    def _centred(self) -> Pooling:
        if self.window % 2 == 0:
            raise ValueError(f"window = {self.window} is even; it has no middle cell")
        return self


class OperatingPoint(_Part):
    """What a threshold does to bags that nothing was fitted on."""

    threshold: float = Field(ge=0, le=1)
    detections: float = Field(ge=0, le=1, description="share of the bags with a target that reach it")
    false_alarms: float = Field(ge=0, le=1, description="share of the bags without one that reach it")


class Reliability(_Part):
    """Bags whose score lies in one interval: mean score, share with a target, number of bags."""

    score: float = Field(ge=0, le=1)
    share: float = Field(ge=0, le=1)
    bags: int = Field(ge=1)


class Fusion(_Part):
    """Network and material discriminator joined, cell by cell, and what that does (see edge/inference/fusion.py)."""

    material_sha256: str = Field(pattern=_SHA256, description="discriminator with which it was fitted")
    heat_weight: float = Field(ge=0)
    material_weight: float = Field(ge=0)
    uncovered: float = Field(description="log odds of the discriminator where it judges nothing")
    smoothings: tuple[Smoothing, ...] = Field(
        (SETTINGS.smooth_blocks,), min_length=1, max_length=3, description="segmentations whose log odds are averaged"
    )
    softness: float = Field(0.0, ge=0, le=2, description="of the discriminator's splits, see decision.py; 0: steps")
    bias: float
    target_rate: float = Field(gt=0, le=1, description="share of targets for which the threshold was chosen")
    threshold: float = Field(ge=0, le=1)
    bags: int = Field(ge=1, description="bags on which it was fitted; the network saw none of them")
    targets: int = Field(ge=0)
    detections: float = Field(ge=0, le=1, description="cross-validated, at the threshold")
    false_alarms: float = Field(ge=0, le=1)
    area_under_curve: dict[str, float] = Field(default_factory=dict, description="fused, network, material")
    operating_points: tuple[OperatingPoint, ...] = ()
    reliability: tuple[Reliability, ...] = ()
    seeds: str = Field("", description="of the bags")
    command: str = ""


class Graph(_Part):
    """One ONNX file. ``platt`` (a, b): probability = 1 / (1 + exp(−(a · logit + b)))."""

    file: str = Field(pattern=_FILE)
    sha256: str = Field(pattern=_SHA256)
    platt: tuple[float, float] = (1.0, 0.0)
    threshold: float = Field(ge=0, le=1, description="on the probability of the network alone")
    tolerance: float = Field(gt=0, description="most that a logit may differ from the golden one")
    accuracy: dict[str, float] = Field(default_factory=dict, description="named figures on held-out data")
    fusion: Fusion | None = Field(None, description="None: may run as a shadow only")


class Data(_Part):
    """What the network was trained on."""

    description: str = Field(description="says 'simulated' where it is")
    sha256: str = Field("", description="of the data set's manifest")
    seeds: str = ""
    bags: int = Field(0, ge=0)


class Golden(_Part):
    """Inputs and outputs that every runtime must reproduce before it is used."""

    file: str = Field("golden.npz", pattern=_FILE)
    sha256: str = Field(pattern=_SHA256)


class Manifest(_Part):
    """The whole manifest; its SHA-256 is what is signed, and names the bundle."""

    format: Literal["darklane-model/1"] = FORMAT
    name: str = Field(min_length=1, max_length=64, pattern=_FILE)
    version: str = Field(min_length=1, max_length=32)
    created_ns: int = Field(0, ge=0)
    software: str = ""
    licence: str = ""
    architecture: str = ""
    parameters: int = Field(0, ge=0)
    inputs: Inputs
    classes: tuple[str, ...] = ("threat",)
    stride: int = Field(ge=1, le=64, description="pixels per cell of the heat, rows and columns")
    halo: int = Field(ge=0, le=512, description="pixels beyond a cell on which its heat depends")
    pooling: Pooling = Pooling()
    precision: Literal["fp32", "int8"] = Field("fp32", description="graph that runs on a CPU")
    role: Literal["active", "shadow"] = Field("shadow", description="how it runs when it is the shipped bundle")
    graphs: dict[Precision, Graph] = Field(min_length=1)
    golden: Golden
    metrics: dict[str, JsonValue] = Field(default_factory=dict)
    data: Data
    command: str = Field("", description="that trains the network again")

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.halo % self.stride:
            raise ValueError(f"halo = {self.halo} is not a multiple of stride = {self.stride}")
        if self.precision not in self.graphs:
            raise ValueError(f"precision = {self.precision!r}, but there is no such graph: {sorted(self.graphs)}")
        if self.role == "active" and self.graphs[self.precision].fusion is None:
            raise ValueError("role = 'active', but its graph has no fusion with the material discriminator")
        return self

    def file_digests(self) -> dict[str, str]:
        """SHA-256 of every file of the bundle by name, as it must be."""
        return {**{g.file: g.sha256 for g in self.graphs.values()}, self.golden.file: self.golden.sha256}
