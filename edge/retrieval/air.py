"""Which columns of a bag's slabs hold air."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge.messages import Slab

#: Columns this close to the bag's edges are left out: the barrier is a millimetre wide, and straps stick out.
GUARD_UM = 1500.0
#: Fewer columns of air say too little about tube and masks.
MIN_COLUMNS = 4

Columns = npt.NDArray[np.intp]


class AirError(ValueError):
    """There is too little air beside the bag, or it cannot be used."""


def air_before(slab: Slab) -> Columns:
    """Columns of the first slab of a bag that lie before its leading edge; :class:`AirError` when they are too few."""
    positions = slab.origin_um + (slab.column0 + np.arange(slab.columns)) * slab.grid_um
    air = np.flatnonzero(positions + slab.grid_um < slab.bag_from_um - GUARD_UM)
    if air.size < MIN_COLUMNS:
        raise AirError(
            f"only {air.size} columns of air before the bag, {MIN_COLUMNS} are needed to check the tube output; "
            "raise belt.lead_air_mm or leave more room between bags"
        )
    return air


def air_after(slab: Slab) -> Columns:
    """Columns of ``slab`` behind the trailing edge; empty when that edge is not known or they are too few."""
    if slab.bag_to_um is None:
        return np.empty(0, np.intp)
    positions = slab.origin_um + (slab.column0 + np.arange(slab.columns)) * slab.grid_um
    air = np.flatnonzero(positions - slab.grid_um > slab.bag_to_um + GUARD_UM)
    return air if air.size >= MIN_COLUMNS else np.empty(0, np.intp)
