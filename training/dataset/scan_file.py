"""One simulated scan as an HDF5 file: retrieved images, labels of pixels, and the truth about the scene.

Images are stored as float16, whose error (relative 2⁻¹¹) is far below the photon noise of every pixel, and are read
back as float32. The content hash covers what is stored, not the file's bytes: libraries of other versions write
other bytes.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import h5py
import hdf5plugin
import numpy as np
import numpy.typing as npt

from kernels.derived import Ratios, ratios
from kernels.types import F32, U8, U16

SCHEMA: Final = "darklane-scan/1"
#: Values of the mask. Where things overlap the lowest number but 0 wins.
NOTHING, THREAT, BENIGN, CLUTTER = range(4)
#: Largest finite float16: a 1-σ beyond it says nothing more.
_LARGEST: Final = 65504.0
_COMPRESSION: dict[str, Any] = dict(hdf5plugin.Blosc(cname="zstd", clevel=3, shuffle=hdf5plugin.Blosc.SHUFFLE))

RetrievalName = Literal["map", "paper"]


class ScanFileError(ValueError):
    """A scan's file cannot be used; names the file and what is wrong."""


@dataclass(frozen=True)
class Retrieved:
    """Result of one retrieval: ``images``, ``sigma`` (4, 2, rows, columns) float32, ``flags`` (2, rows, columns).

    Channels transmission (1), refraction (µm), dark-field (µm²), offset (1); bins low, high. Flags are uint16.
    """

    images: F32
    sigma: F32
    flags: U16


@dataclass(frozen=True)
class Scan:
    """One scan. ``images``, ``sigma``, ``flags``: of retrieval `map`, see :class:`Retrieved`; ``paper``: of `paper`.

    ``mask``: (rows, columns) uint8, 0 nothing, 1 threat, 2 benign sample, 3 other things. ``truth``: the scene's
    labels, JSON-able (docs/reference/datasets.md lists its keys); ``truth["label"]`` is 1 with a threat, else 0.
    """

    name: str
    images: F32
    sigma: F32
    flags: U16
    mask: U8
    truth: dict[str, Any]
    paper: Retrieved | None = None

    @property
    def label(self) -> int:
        """1 with a threat, else 0."""
        return int(self.truth["label"])

    def retrieved(self, which: RetrievalName = "map") -> Retrieved:
        """The images of one retrieval; ValueError when `paper` is asked of a scan that was made without it."""
        if which == "map":
            return Retrieved(self.images, self.sigma, self.flags)
        if self.paper is None:
            raise ValueError(f"scan {self.name} holds no retrieval 'paper'; data sets of the studies do")
        return self.paper

    def ratios(self, which: RetrievalName = "map", threads: int = 1) -> Ratios:
        """Attenuation and ratio images of both bins with 1-σ, made afresh by the lane's kernels; see :class:`Ratios`.

        Flags are not looked at. ValueError as :meth:`retrieved`.
        """
        got = self.retrieved(which)
        return ratios(got.images, got.sigma, threads=threads)


def write(path: Path, scan: Scan, recipe: str) -> str:
    """Write ``scan`` so that ``path`` exists only when it is whole; returns its content hash.

    ``recipe``: hash of the settings that made it.
    """
    arrays = _stored(scan)
    content = _hash(arrays, scan.truth)
    partial = path.with_suffix(".part")
    with h5py.File(partial, "w") as file:
        file.attrs.update(
            schema=SCHEMA, simulated=True, name=scan.name, recipe=recipe, sha256=content, truth=_text(scan.truth)
        )
        for name, array in arrays.items():
            chunks = (1,) * (array.ndim - 2) + array.shape[-2:]
            file.create_dataset(name, data=array, chunks=chunks, **_COMPRESSION)
    partial.replace(path)
    return content


def made(path: Path, recipe: str) -> tuple[str, dict[str, Any]] | None:
    """Content hash and truth of a scan that an earlier run wrote with the same ``recipe``; None when there is none."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["schema"] != SCHEMA or file.attrs["recipe"] != recipe:
                return None
            return str(file.attrs["sha256"]), json.loads(file.attrs["truth"])
    except (OSError, KeyError):
        return None


def read(path: Path, *, sha256: str | None = None) -> Scan:
    """Read one scan. ScanFileError when it is missing or damaged, or its content has another hash than ``sha256``."""
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["schema"] != SCHEMA:
                raise ScanFileError(f"{path}: schema is {file.attrs['schema']!r}, expected {SCHEMA}")
            arrays: dict[str, npt.NDArray[Any]] = {name: file[name][...] for name in file}
            name = str(file.attrs["name"])
            truth: dict[str, Any] = json.loads(file.attrs["truth"])
    except (OSError, KeyError) as error:
        raise ScanFileError(f"{path}: not a readable scan ({error}); make the data set again") from error
    if sha256 is not None and _hash(arrays, truth) != sha256:
        raise ScanFileError(f"{path}: content is not what was written (sha256 differs); make the data set again")
    paper = None
    if "paper_images" in arrays:
        paper = _retrieved(arrays, "paper_")
    return Scan(name, **vars(_retrieved(arrays, "")), mask=arrays["mask"], truth=truth, paper=paper)


def _retrieved(arrays: dict[str, npt.NDArray[Any]], prefix: str) -> Retrieved:
    return Retrieved(
        arrays[f"{prefix}images"].astype(np.float32),
        arrays[f"{prefix}sigma"].astype(np.float32),
        arrays[f"{prefix}flags"].astype(np.uint16),
    )


def _stored(scan: Scan) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {"mask": scan.mask.astype(np.uint8)}
    results = {"": scan.retrieved("map")} | ({} if scan.paper is None else {"paper_": scan.paper})
    for prefix, result in results.items():
        arrays[f"{prefix}images"] = _half(result.images)
        arrays[f"{prefix}sigma"] = _half(result.sigma)
        arrays[f"{prefix}flags"] = result.flags.astype(np.uint8)
    return arrays


def _half(values: F32) -> npt.NDArray[np.float16]:
    return np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)


def _text(truth: dict[str, Any]) -> str:
    return json.dumps(truth, sort_keys=True, ensure_ascii=True, allow_nan=False)


def _hash(arrays: dict[str, npt.NDArray[Any]], truth: dict[str, Any]) -> str:
    digest = hashlib.sha256(_text(truth).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        if array.dtype == np.float16:
            # All not-a-numbers are one: their bits are the processor's business.
            array = np.where(np.isnan(array), np.float16("nan"), array)
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
