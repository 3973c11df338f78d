"""The model file: class regions of every known material, with the manifest that says where they come from."""

from __future__ import annotations

import hashlib
import json
from importlib import resources
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge.inference.features import FEATURES

#: Raised whenever a stored field changes its meaning.
FORMAT: Literal["darklane-materials/1"] = "darklane-materials/1"
_ROWS = len(FEATURES)


class ModelError(ValueError):
    """A model file cannot be used; the message names the file, the field and what to do."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OperatingPoint(_Part):
    """What a threshold does on the training bags, cross-validated: fractions of clean bags and of targets."""

    threshold: float = Field(ge=0, le=1)
    false_alarms: float = Field(ge=0, le=1)
    detections: float = Field(ge=0, le=1)


class Manifest(_Part):
    """Where a model comes from. ``sha256`` is over everything else in the file."""

    id: str = Field(min_length=1, max_length=64)
    version: str = Field(min_length=1, max_length=32)
    sha256: str = Field("", max_length=64)
    tube_kv: Literal[80, 120]
    made_by: str
    software: str
    data: str = Field(description="what it was fitted on, in words: simulated data says so")
    reference_seeds: tuple[int, int] = Field(description="first and last + 1 seed of the reference samples")
    training_seeds: tuple[int, int] = Field(description="of the bags that chose threshold and in-bag spread")
    retrieval_model: str
    false_alarm_limit: float = Field(ge=0, le=1, description="rule of the threshold: false alarms on training bags")
    training_bags: int = Field(0, ge=0)
    training_false_alarms: int = Field(0, ge=0)
    training_detections: int = Field(0, ge=0)
    training_targets: int = Field(0, ge=0)
    operating_points: tuple[OperatingPoint, ...] = Field((), description="for those who set a threshold of their own")


class MaterialClass(_Part):
    """Class region of one material: a Gaussian around a curve in attenuation.

    ``mean``: (features, basis) coefficients over :func:`edge.inference.evidence.basis`; ``covariance``:
    (features, features); ``attenuation``: range of low-bin −ln t on which it was fitted; ``samples``: how many.
    """

    name: str
    threat: bool
    weight: float = Field(1.0, gt=0)
    attenuation: tuple[float, float]
    samples: int = Field(ge=1)
    mean: tuple[tuple[float, ...], ...] = Field(min_length=_ROWS, max_length=_ROWS)
    covariance: tuple[tuple[float, ...], ...] = Field(min_length=_ROWS, max_length=_ROWS)


class Packing(_Part):
    """What a material may be packed in, beside being bare: its planes (6,), subtracted before the ratios are taken.

    A region's step holds the floor and lid of its container; the background beside it does not.
    """

    name: str
    weight: float = Field(gt=0)
    planes: tuple[float, ...] = Field(min_length=6, max_length=6)


class Mixture(_Part):
    """Clutter: Gaussians with diagonal variance, ``mean`` and ``variance`` (components, dimensions)."""

    weight: tuple[float, ...] = Field(min_length=1)
    mean: tuple[tuple[float, ...], ...]
    variance: tuple[tuple[float, ...], ...]


class Trees(_Part):
    """Boosted trees of one depth on :data:`edge.inference.decision.INPUTS`: their sum is the log odds of a threat.

    Per tree: ``input`` and ``cut`` of every split node, level by level (right where the input exceeds the cut), and
    the values of the ``leaf`` nodes from left to right.
    """

    base: float
    input: tuple[tuple[int, ...], ...] = Field(min_length=1)
    cut: tuple[tuple[float, ...], ...]
    leaf: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _of_one_shape(self) -> Trees:
        leaves = len(self.leaf[0]) if self.leaf else 0
        if leaves < 2 or leaves & (leaves - 1):
            raise ValueError(f"{leaves} leaves in a tree; a whole power of two is needed")
        splits = {len(nodes) for nodes in (*self.input, *self.cut)} | {len(nodes) - 1 for nodes in self.leaf}
        if splits != {leaves - 1} or len({len(self.input), len(self.cut), len(self.leaf)}) > 1:
            raise ValueError("input, cut and leaf do not describe the same trees")
        return self


class Outlier(_Part):
    """Everything else: uniform over a box of feature space with a prior weight relative to one material."""

    weight: float = Field(gt=0)
    low: tuple[float, ...] = Field(min_length=_ROWS, max_length=_ROWS)
    high: tuple[float, ...] = Field(min_length=_ROWS, max_length=_ROWS)


class ModelFile(_Part):
    """The whole file."""

    format: Literal["darklane-materials/1"] = FORMAT
    manifest: Manifest
    features: tuple[str, ...]
    threshold: float = Field(ge=0, le=1)
    outlier: Outlier
    packings: tuple[Packing, ...] = Field(min_length=1)
    classes: tuple[MaterialClass, ...] = Field(min_length=1)
    clutter: Mixture | None = None
    decision: Trees | None = None

    def digest(self) -> str:
        """SHA-256 over the canonical content without the manifest's own ``sha256``."""
        content = self.model_dump(mode="json")
        content["manifest"].pop("sha256")
        return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def sealed(self) -> ModelFile:
        """The same model with its digest in the manifest."""
        return self.model_copy(update={"manifest": self.manifest.model_copy(update={"sha256": self.digest()})})

    def save(self, path: Path) -> None:
        """Write the sealed model, one line per part and per class."""
        lines = []
        for key, part in self.sealed().model_dump(mode="json").items():
            each = [json.dumps(entry, ensure_ascii=False) for entry in part] if key == "classes" else []
            text = "[\n" + ",\n".join(each) + "]" if each else json.dumps(part, ensure_ascii=False)
            lines.append(f"{json.dumps(key)}: {text}")
        path.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")


def parse(text: str, origin: str) -> ModelFile:
    """Check ``text`` read from ``origin``; :class:`ModelError` when it is damaged, altered or of another format."""
    try:
        model = ModelFile.model_validate(json.loads(text))
    except json.JSONDecodeError as error:
        raise ModelError(
            f"model {origin}: not valid JSON ({error}); fit it again with python -m training.reference"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ModelError(
            f"model {origin}: {key}: {first['msg']}; fit it again with python -m training.reference"
        ) from error
    if model.features != FEATURES:
        raise ModelError(f"model {origin}: features {model.features}, this software computes {FEATURES}; fit it again")
    if model.manifest.sha256 != model.digest():
        raise ModelError(
            f"model {origin}: content hashes to {model.digest()[:16]}…, the manifest says otherwise; it was altered"
        )
    return model


def shipped(tube_kv: int) -> ModelFile:
    """The model that comes with the software for this tube voltage."""
    name = f"materials-{tube_kv}kvp.json"
    file = resources.files("edge.inference") / "models" / name
    if not file.is_file():
        raise ModelError(
            f"no model is shipped for {tube_kv} kVp; fit one with python -m training.reference --kv {tube_kv}"
        )
    return parse(file.read_text(encoding="utf-8"), name)
