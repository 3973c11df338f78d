"""Archived bags for the tests of DICOS."""

from __future__ import annotations

from pathlib import Path

from edge.archive.hdf5 import BagWriter
from edge.archive.provenance import describe
from edge.messages import Verdict
from tests.edge.archive_bags import bag, config


def archived(
    folder: Path, verdict: Verdict | None, *supplements: Verdict, images: bool = True, **tables: object
) -> Path:
    """A bag's HDF5 file with this verdict."""
    made = bag(rows=16, columns=48)
    writer = BagWriter(folder / f"{made.bag_id}.h5", made.bag_id, describe(config(folder, **tables)))
    if images:
        for slab, arrays in made.image_slabs():
            writer.add_images(slab, arrays)
    for sums, arrays in made.raw_slabs():
        writer.add_sums(sums, arrays)
    return writer.finish(verdict, list(supplements))
