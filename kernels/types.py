"""What goes into and comes out of the kernels. Bin order is (low, high); layout is (…, bin, row, column), C order."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from typing import Literal

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]
I32 = npt.NDArray[np.int32]
Model = Literal["paper", "full", "map"]


class Flag(IntFlag):
    """Bits of the flags image; a pixel is good when none but those of INFORMATIVE is set (docs/kernels.md)."""

    NOT_CONVERGED = 1
    NO_EXACT_ROOT = 2
    BOUND_HIT = 4
    SINGULAR = 8
    LOW_COUNTS = 16
    BAD_INPUT = 32  # NaN, saturated or dead
    PRIOR_DOMINATED = 64  # information, not a fault: the samples alone would not have told o
    SKEWED = 128  # information, not a fault: σ covers 68 % or more, but errors beyond 3 σ are more frequent than normal


#: Flags that tell more about a good pixel.
INFORMATIVE = Flag.PRIOR_DOMINATED | Flag.SKEWED


@dataclass(frozen=True)
class IlluminationCurves:
    """Equation (1) per bin and row: four Gaussians and a floor.

    ``area`` counts·µm, ``centre`` µm, ``width`` µm: (2, rows, 4) float32; ``floor`` counts: (2, rows) float32.
    Counts are those of one detector pixel (of one binned row) in one frame, averaged over a group's columns.
    """

    area: F32
    centre: F32
    width: F32
    floor: F32


@dataclass(frozen=True)
class OffsetPrior:
    """o predicted from both bins: ln o_b = Σ_k coefficients[b, k] · basis_k(L_low, L_high), L = −ln t.

    Basis, in this order: L_low, L_high, L_low², L_low·L_high, L_high². ``coefficients``: (2, 5) float64.
    ``sd``: (2,) 1-σ of the prediction, absolute in o.
    """

    coefficients: F64
    sd: F64


@dataclass(frozen=True)
class Retrieval:
    """Result of :func:`kernels.retrieve`.

    ``images`` and ``sigma``: (4 channels, 2 bins, rows, columns) float32 in the channel order transmission (1),
    refraction (µm at M1), dark-field (τ², µm² at M1), offset (1); that σ of `map` are conservative says
    :func:`kernels.retrieve`. ``flags``: (2, rows, columns) uint16.
    """

    images: F32
    sigma: F32
    flags: U16
    backend: str
