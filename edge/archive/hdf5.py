"""Writes one bag's HDF5 file slab by slab: memory stays at one slab, however long the bag is."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from edge.archive import axes, layout
from edge.archive.provenance import Provenance
from edge.messages import CHANNELS, Arrays, ImageSlab, Slab, Verdict
from firmware_bridge.scanner import BINS, COLUMNS, GROUPS
from kernels.types import Flag

#: Columns of one HDF5 chunk; a chunk holds one channel and bin over all rows.
CHUNK_COLUMNS = 64
#: Level 3 of zstd: 150 MB/s and a third less on photon noise; gzip is four times slower for a tenth more.
COMPRESSION: dict[str, Any] = dict(hdf5plugin.Blosc(cname="zstd", clevel=3, shuffle=hdf5plugin.Blosc.SHUFFLE))


class SlabMismatch(ValueError):  # noqa: N818
    """A slab does not belong to the bag's grid; the message names the field. The slab is left out."""


class BagWriter:
    """The ``.part`` file of one bag. Columns nobody wrote stay NaN, flagged BAD_INPUT, with weight 0."""

    def __init__(self, path: Path, bag_id: str, provenance: Provenance) -> None:
        self.path = path
        self.part = path.with_name(f"{bag_id}{layout.PART_SUFFIX}")
        self.bag_id = bag_id
        self.columns = 0
        self._provenance = provenance
        self._grid: axes.Grid | None = None
        # By index: a slab that comes twice (a restarted sender) takes the place of its first copy.
        self._headers: dict[str, dict[int, Slab | ImageSlab]] = {layout.IMAGE_HEADERS: {}, layout.SLAB_HEADERS: {}}
        self._last_image: ImageSlab | None = None
        self._last_sums: Slab | None = None
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = h5py.File(self.part, "w")

    def add_images(self, slab: ImageSlab, arrays: Arrays) -> None:
        """Store one slab of images, sigma (4, 2, rows, columns) and flags (2, rows, columns)."""
        shape = (len(CHANNELS), len(BINS), slab.rows, slab.columns)
        _check_shape(slab, arrays, {"images": shape, "sigma": shape, "flags": shape[1:]})
        self._accept(slab, layout.IMAGE_HEADERS)
        self._last_image = slab
        if slab.columns == 0 or slab.rows == 0:
            return
        here = slice(slab.column0, slab.column0 + slab.columns)
        for index, channel in enumerate(layout.IMAGE_CHANNELS):
            for name, what in ((layout.image(channel.name), "images"), (layout.sigma(channel.name), "sigma")):
                self._dataset(name, np.float32, np.nan)[..., here] = arrays[what][index]
        self._dataset(layout.FLAGS, np.uint16, int(Flag.BAD_INPUT))[..., here] = arrays["flags"]

    def add_sums(self, slab: Slab, arrays: Arrays) -> None:
        """Store one raw slab: phase sums (4, 2, rows, columns), weights and squared weights (128, columns)."""
        shape = (GROUPS, len(BINS), slab.rows, slab.columns)
        weights = (COLUMNS, slab.columns)
        _check_shape(slab, arrays, {"phase_sums": shape, "weights": weights, "weights_sq": weights})
        self._accept(slab, layout.SLAB_HEADERS)
        self._last_sums = slab
        if slab.columns == 0 or slab.rows == 0:
            return
        here = slice(slab.column0, slab.column0 + slab.columns)
        self._dataset(layout.SUMS, np.float32, np.nan)[..., here] = arrays["phase_sums"]
        for name, what in ((layout.WEIGHTS, "weights"), (layout.WEIGHTS_SQ, "weights_sq")):
            self._dataset(name, np.float32, 0.0)[..., here] = arrays[what]

    def finish(self, verdict: Verdict | None, supplements: list[Verdict]) -> Path:
        """Describe, flush to disk and put the file in its place under its final name."""
        self._describe()
        _write_verdict(self._file, verdict, supplements)
        self._file.close()
        _publish(self.part, self.path)
        return self.path

    def abort(self) -> None:
        """Forget the file; safe after any error."""
        with suppress(OSError, RuntimeError, ValueError):
            self._file.close()
        self.part.unlink(missing_ok=True)

    def _accept(self, slab: Slab | ImageSlab, headers: str) -> None:
        grid = axes.Grid.of(slab)
        if self._grid is None:
            self._grid = grid
        elif grid != self._grid:
            raise SlabMismatch(f"bag {self.bag_id} slab {slab.index}: {grid}, but the bag began with {self._grid}")
        if slab.column0 + slab.columns > layout.MAX_COLUMNS:
            raise SlabMismatch(
                f"bag {self.bag_id} slab {slab.index}: column {slab.column0} + {slab.columns} is beyond "
                f"{layout.MAX_COLUMNS}"
            )
        self.columns = max(self.columns, slab.column0 + slab.columns)
        self._headers[headers][slab.index] = slab

    def _complete(self, headers: str, last: Slab | ImageSlab | None) -> bool:
        """Whether the bag's last slab came without a fault, and every column with it."""
        ended = last is not None and last.last and last.fault is None
        return ended and sum(slab.columns for slab in self._headers[headers].values()) == self.columns

    def _dataset(self, name: str, dtype: type, fill: float) -> h5py.Dataset:
        """Dataset ``name`` with the bag's present number of columns; made on first use."""
        assert self._grid is not None
        if name not in self._file:
            shape = axes.shape(name, self._grid.rows, self.columns)
            chunk = tuple(
                1 if axis in ("group", "bin") else size for axis, size in zip(axes.AXES[name], shape, strict=True)
            )
            self._file.create_dataset(
                name,
                shape=shape,
                maxshape=(*shape[:-1], None),
                chunks=(*chunk[:-1], CHUNK_COLUMNS),
                dtype=dtype,
                fillvalue=fill,
                **COMPRESSION,
            )
        dataset = self._file[name]
        if dataset.shape[-1] < self.columns:
            dataset.resize(self.columns, axis=dataset.ndim - 1)
        return dataset

    def _describe(self) -> None:
        file, last = self._file, self._last_image
        for name in axes.AXES:
            if name in file:
                file[name].resize(self.columns, axis=file[name].ndim - 1)
        newest = last or self._last_sums
        file.attrs.update(
            {
                "format": layout.FORMAT,
                "bag_id": self.bag_id,
                "scan_id": newest.scan_id if newest else "",
                "provenance": self._provenance.kind,
                "lane": self._provenance.lane_name,
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "calibration_id": newest.calibration_id if newest else "",
                "kernel_backend": last.kernel_backend if last else "",
                "retrieval_model": last.model if last else "",
                "images_complete": self._complete(layout.IMAGE_HEADERS, last),
                "phase_sums_complete": self._complete(layout.SLAB_HEADERS, self._last_sums),
                "fault": next((s.fault.value for s in (last, self._last_sums) if s and s.fault), ""),
                "frames": newest.frames if newest else 0,
                "lost_frames": newest.lost_frames if newest else 0,
            }
        )
        for name, headers in self._headers.items():
            if headers:
                texts = [slab.model_dump_json() for _, slab in sorted(headers.items())]
                file.create_dataset(name, data=texts, dtype=h5py.string_dtype())
        for name, text in (
            (layout.SCANNER, self._provenance.scanner_json),
            (layout.LANE, self._provenance.lane_json),
            (layout.SOFTWARE, self._provenance.software_json),
        ):
            file.create_dataset(name, data=text, dtype=h5py.string_dtype())
        if self._grid is not None:
            edges = [s.bag_to_um for s in (last, self._last_sums) if s and s.bag_to_um is not None]
            axes.write(file, self._grid, self.columns, edges[0] if edges else None, self._provenance.scanner_json)


def attach_verdict(path: Path, verdict: Verdict | None, supplements: list[Verdict]) -> None:
    """Give a finished file a verdict that came late: a copy is changed and takes the file's place."""
    part = path.with_name(path.name.removesuffix(layout.SUFFIX) + layout.PART_SUFFIX)
    shutil.copyfile(path, part)
    try:
        with h5py.File(part, "r+") as file:
            _write_verdict(file, verdict, supplements)
        _publish(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write_verdict(file: h5py.File, verdict: Verdict | None, supplements: list[Verdict]) -> None:
    for name in (layout.VERDICT, layout.SUPPLEMENTS):
        if name in file:
            del file[name]
    if verdict is not None:
        file.create_dataset(layout.VERDICT, data=verdict.model_dump_json(), dtype=h5py.string_dtype())
    if supplements:
        texts = [supplement.model_dump_json() for supplement in supplements]
        file.create_dataset(layout.SUPPLEMENTS, data=texts, dtype=h5py.string_dtype())
    file.attrs.update(
        {
            "decision": verdict.decision.value if verdict else "",
            "reason": verdict.reason.value if verdict and verdict.reason else "",
            "model_id": verdict.model_id if verdict else "",
            "model_version": verdict.model_version if verdict else "",
        }
    )


def _publish(part: Path, path: Path) -> None:
    """Flush ``part`` and give it its final name; after a power cut the file is whole or not there."""
    with part.open("rb") as handle:
        os.fsync(handle.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _check_shape(slab: Slab | ImageSlab, arrays: Arrays, expected: dict[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise SlabMismatch(
                f"bag {slab.bag_id} slab {slab.index}: {name} is {arrays[name].shape}, its header says {shape}"
            )
