"""Opens a bag's HDF5 file and checks it, so that the sheet and ``darklane replay`` can trust what they read."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import hdf5plugin  # noqa: F401 - registers the compression filters
import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from edge.archive import axes, layout
from edge.messages import Arrays, ImageSlab, Slab, Verdict
from firmware_bridge.scanner import BINS, COLUMNS, GROUPS, Scanner

F32 = npt.NDArray[np.float32]


class BagFileError(ValueError):
    """A file is not a usable bag archive; the message names the file, what is wrong and what to do."""


@dataclass(frozen=True)
class Geometry:
    """Grid of a bag's images: sizes in pixels, spacing in µm, belt travel of its edges in µm."""

    rows: int
    columns: int
    grid_um: float
    row_pitch_um: float
    origin_um: float
    bag_from_um: float
    bag_to_um: float | None


class BagFile:
    """One archived bag, open for reading. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise BagFileError(f"{path}: no such file; give a bag's .h5 file from <state_dir>/archive")
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise BagFileError(f"{path}: not a readable HDF5 file ({error}); give a bag's .h5 file") from error
        try:
            self._read()
        except BagFileError:
            self._file.close()
            raise
        except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
            self._file.close()
            raise BagFileError(f"{path}: damaged bag archive ({error}); use another copy") from error

    def __enter__(self) -> BagFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> None:
        self.attributes: dict[str, Any] = dict(self._file.attrs)
        found = self.attributes.get("format")
        if found != layout.FORMAT:
            raise BagFileError(
                f"{self.path}: format {found!r}, expected {layout.FORMAT!r}; not a bag archive of this version"
            )
        self.bag_id = str(self.attributes["bag_id"])
        try:
            self.scanner = Scanner.model_validate_json(self._text(layout.SCANNER))
            self.verdict = (
                Verdict.model_validate_json(self._text(layout.VERDICT)) if layout.VERDICT in self._file else None
            )
            self.supplements = [Verdict.model_validate_json(text) for text in self._texts(layout.SUPPLEMENTS)]
            self.slab_headers = [Slab.model_validate_json(text) for text in self._texts(layout.SLAB_HEADERS)]
            self.image_headers = [ImageSlab.model_validate_json(text) for text in self._texts(layout.IMAGE_HEADERS)]
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise BagFileError(
                f"{self.path}: stored {error.title} field {where}: {first['msg']}; use another copy"
            ) from error
        self.lane: dict[str, Any] = json.loads(self._text(layout.LANE))
        self.software: dict[str, str] = json.loads(self._text(layout.SOFTWARE))
        self.geometry = self._geometry()
        self._check_shapes()

    def _text(self, name: str) -> str:
        return str(self._file[name].asstr()[()])

    def _texts(self, name: str) -> list[str]:
        if name not in self._file:
            return []
        return [str(text) for text in np.atleast_1d(self._file[name].asstr()[()])]

    def _geometry(self) -> Geometry | None:
        if "axes" not in self._file:
            return None
        attributes = self._file["axes"].attrs
        bag_to_um = float(attributes["bag_to_um"])
        return Geometry(
            rows=self._file["axes/row"].shape[0],
            columns=self._file["axes/column"].shape[0],
            grid_um=float(attributes["grid_um"]),
            row_pitch_um=float(attributes["row_pitch_um"]),
            origin_um=float(attributes["origin_um"]),
            bag_from_um=float(attributes["bag_from_um"]),
            bag_to_um=None if np.isnan(bag_to_um) else bag_to_um,
        )

    def _check_shapes(self) -> None:
        if self.geometry is None:
            return
        for name in axes.AXES:
            shape = axes.shape(name, self.geometry.rows, self.geometry.columns)
            if name in self._file and self._file[name].shape != shape:
                raise BagFileError(
                    f"{self.path}: {name} is {self._file[name].shape}, its axes say {shape}; use another copy"
                )

    @property
    def has_images(self) -> bool:
        """Whether at least one column was retrieved."""
        return layout.FLAGS in self._file

    @property
    def has_sums(self) -> bool:
        """Whether raw phase sums are stored."""
        return layout.SUMS in self._file

    def channel(self, name: str, bin_index: int) -> F32:
        """Image of one channel and bin, (rows, columns) float32."""
        return np.asarray(self._file[layout.image(name)][bin_index], np.float32)

    def channel_sigma(self, name: str, bin_index: int) -> F32:
        """1-σ of one channel and bin, (rows, columns) float32."""
        return np.asarray(self._file[layout.sigma(name)][bin_index], np.float32)

    def flags(self, bin_index: int) -> npt.NDArray[np.uint16]:
        """Flag bits of one bin, (rows, columns) uint16."""
        return np.asarray(self._file[layout.FLAGS][bin_index], np.uint16)

    def slabs(self) -> Iterator[tuple[Slab, Arrays]]:
        """The raw slabs as they were spooled: header and arrays, in the order in which they were sent."""
        for slab in self.slab_headers:
            here = slice(slab.column0, slab.column0 + slab.columns)
            if slab.columns and slab.rows:
                arrays: Arrays = {
                    "phase_sums": np.ascontiguousarray(self._file[layout.SUMS][..., here]),
                    "weights": np.ascontiguousarray(self._file[layout.WEIGHTS][:, here]),
                    "weights_sq": np.ascontiguousarray(self._file[layout.WEIGHTS_SQ][:, here]),
                }
            else:
                arrays = empty_arrays(slab)
            yield slab, arrays


def empty_arrays(slab: Slab) -> Arrays:
    """Arrays of a slab without columns."""
    weights = np.zeros((COLUMNS, 0), np.float32)
    return {
        "phase_sums": np.zeros((GROUPS, len(BINS), slab.rows, 0), np.float32),
        "weights": weights,
        "weights_sq": weights,
    }
