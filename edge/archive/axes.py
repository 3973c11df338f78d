"""Axes of a bag's datasets: names, units and HDF5 dimension scales, so that any viewer shows millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from edge.archive import layout
from edge.messages import CHANNELS, ImageSlab, Slab
from firmware_bridge.scanner import BINS, COLUMNS, GROUPS, Scanner


@dataclass(frozen=True)
class Grid:
    """The grid that all slabs of one bag share."""

    rows: int
    grid_um: float
    origin_um: float
    bag_from_um: float

    @classmethod
    def of(cls, slab: Slab | ImageSlab) -> Grid:
        """Grid of one slab."""
        return cls(slab.rows, slab.grid_um, slab.origin_um, slab.bag_from_um)


#: Axes of every dataset that has columns; the last one is always the column.
AXES: dict[str, tuple[str, ...]] = {
    **{name(channel): ("bin", "row", "column") for channel in CHANNELS for name in (layout.image, layout.sigma)},
    layout.FLAGS: ("bin", "row", "column"),
    layout.SUMS: ("group", "bin", "row", "column"),
    layout.WEIGHTS: ("detector_column", "column"),
    layout.WEIGHTS_SQ: ("detector_column", "column"),
}
_UNITS = {
    **{name(c.name): (c.unit, c.meaning) for c in layout.IMAGE_CHANNELS for name in (layout.image, layout.sigma)},
    layout.FLAGS: ("bit mask", "bits of kernels.types.Flag; 0 is a good pixel"),
    layout.SUMS: ("counts", "weighted sum of the counts of one mask group, S_g"),
    layout.WEIGHTS: ("frames", "sum over frames of each detector column's linear weight on the grid"),
    layout.WEIGHTS_SQ: ("frames", "sum over frames of the squared weights"),
}


def shape(name: str, rows: int, columns: int) -> tuple[int, ...]:
    """Shape of dataset ``name`` for a bag of that many rows and columns."""
    sizes = {"group": GROUPS, "bin": len(BINS), "row": rows, "detector_column": COLUMNS, "column": columns}
    return tuple(sizes[axis] for axis in AXES[name])


def write(file: h5py.File, grid: Grid, columns: int, bag_to_um: float | None, scanner_json: str) -> None:
    """Make the scales below ``axes/`` and attach them to every dataset that is there."""
    pitch_um = Scanner.model_validate_json(scanner_json).row_pitch_um
    column_mm = (grid.origin_um - grid.bag_from_um + grid.grid_um * np.arange(columns)) / 1e3
    scales = {
        "group": (np.arange(GROUPS), "1", "mask group, column mod 4"),
        "bin": (np.asarray(BINS, h5py.string_dtype()), "1", "energy bin"),
        "row": ((np.arange(grid.rows) + 0.5) * pitch_um / 1e3, "mm", "height of the row's centre, object plane"),
        "column": (column_mm, "mm", "along the belt, from the bag's leading edge (light barrier)"),
        "detector_column": (np.arange(COLUMNS), "1", "column of the detector"),
    }
    for name, (values, unit, meaning) in scales.items():
        scale = file.create_dataset(f"axes/{name}", data=values)
        scale.attrs.update({"units": unit, "long_name": meaning})
        scale.make_scale(name)
    file["axes"].attrs.update(
        {
            "grid_um": grid.grid_um,
            "row_pitch_um": pitch_um,
            "origin_um": grid.origin_um,
            "bag_from_um": grid.bag_from_um,
            "bag_to_um": np.nan if bag_to_um is None else bag_to_um,
        }
    )
    for name, names in AXES.items():
        if name not in file:
            continue
        dataset = file[name]
        unit, meaning = _UNITS[name]
        dataset.attrs.update({"units": unit, "long_name": meaning})
        for index, axis in enumerate(names):
            dataset.dims[index].label = axis
            dataset.dims[index].attach_scale(file[f"axes/{axis}"])
