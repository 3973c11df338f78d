"""Tube output against its calibration, measured in the air before each bag."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.air import output_scale
from edge.messages import Slab

#: Columns this close to the bag's leading edge are left out: the barrier is a millimetre wide, and straps stick out.
GUARD_UM = 1500.0
#: Fewer columns of air say too little about the tube.
MIN_COLUMNS = 4

F32 = npt.NDArray[np.float32]


class AirError(ValueError):
    """The slab holds too little air before the bag."""


def measure_air_scale(slab: Slab, samples: F32, exposure: F32, modelled: F32) -> tuple[float, float]:
    """Counts of the lead-in air over the calibrated ones, per bin; 1 = the tube has not drifted.

    Arguments as for :func:`calibration.air.output_scale`, for all columns of ``slab``, the first of its bag.
    """
    positions = slab.origin_um + (slab.column0 + np.arange(slab.columns)) * slab.grid_um
    air = np.flatnonzero(positions + slab.grid_um < slab.bag_from_um - GUARD_UM)
    if air.size < MIN_COLUMNS:
        raise AirError(
            f"only {air.size} columns of air before the bag, {MIN_COLUMNS} are needed to check the tube output; "
            "raise belt.lead_air_mm or leave more room between bags"
        )
    try:
        return output_scale(samples[..., air], exposure[air], modelled)
    except ValueError as error:
        raise AirError(str(error)) from error
