"""manifest.json of a data set: what made it, what is in it, and how it is split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.dataset.scan_file import RetrievalName

MANIFEST: Final = "manifest.json"
Kind = Literal["study1", "study2", "lane"]


class DatasetError(ValueError):
    """A data set cannot be used; names the folder and what is wrong."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(_Table):
    """Everything that decides the content of a data set; same recipe, same content."""

    kind: Kind
    seed: int = Field(ge=0, description="seed of the first scene; scan k has seed + k")
    scans: int = Field(ge=1)
    scanner: dict[str, Any] = Field(description="table [scanner] of the simulated scanner")
    emulator: dict[str, Any] = Field(description="table [emulator] of the simulated scanner")
    binning: int = Field(ge=1, description="pixels of the scanner's grid summed in both directions before retrieval")
    retrievals: tuple[RetrievalName, ...]
    clutter: tuple[int, int] | None = Field(
        None, description="study 1: least and most things beside the sample; null for the others"
    )

    per_scanner: int | None = Field(
        None, ge=1, description="scans of each emulated scanner (seeds count up); null: one scanner for all"
    )

    def sha256(self) -> str:
        """Hash of the canonical JSON."""
        return _digest(self._told())

    def scan_sha256(self) -> str:
        """Hash of what decides the content of one scan: everything but how many there are."""
        told = self._told()
        del told["scans"]
        return _digest(told)

    def _told(self) -> dict[str, Any]:
        """The recipe without what is left to defaults that came later: hashes of older sets stay what they are."""
        later = {"clutter": self.clutter, "per_scanner": self.per_scanner}
        return self.model_dump(mode="json", exclude={name for name, value in later.items() if value is None})


def _digest(table: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


class Entry(_Table):
    """One scan: its file, its label, and what the truth says about its sample (material, thickness in mm)."""

    file: str
    seed: int
    label: Literal[0, 1]
    item: str = Field(description="bag, laptop, phone or hair_dryer")
    material: str | None
    thickness_mm: float | None
    hidden: bool = Field(False, description="a target whose dark-field does not rise above the noise (truth: contrast)")
    sha256: str


class Split(_Table):
    """Indices of the scans to train with and to test on."""

    train: tuple[int, ...]
    test: tuple[int, ...]


class Manifest(_Table):
    """The file. ``pixel_um``: rows, columns, in the plane of the object. ``sha256``: over recipe and all content."""

    schema_: Literal["darklane-dataset/1"] = Field("darklane-dataset/1", alias="schema")
    simulated: Literal[True] = True
    recipe: Recipe
    pixel_um: tuple[float, float]
    sha256: str
    splits: tuple[Split, ...]
    scans: tuple[Entry, ...]
    software: dict[str, str] = {}
    command: str = ""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


def content_hash(recipe: Recipe, entries: Sequence[Entry]) -> str:
    """Hash of a data set: of its recipe and of the content of every scan, in order."""
    digest = hashlib.sha256(recipe.sha256().encode())
    for entry in entries:
        digest.update(f"{entry.file} {entry.sha256}".encode())
    return digest.hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``folder``/manifest.json; DatasetError names what is wrong."""
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{folder}: no data set here ({path.name}: {error.strerror}); make one with `darklane dataset`"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise DatasetError(f"{path}: {key}: {first['msg']}") from error
    if content_hash(manifest.recipe, manifest.scans) != manifest.sha256:
        raise DatasetError(f"{path}: sha256 is not that of the listed scans; make the data set again")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write ``folder``/manifest.json so that it is either old or new."""
    partial = folder / f"{MANIFEST}.part"
    partial.write_text(manifest.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    partial.replace(folder / MANIFEST)
