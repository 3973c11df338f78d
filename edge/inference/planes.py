"""What networks see: the retrieved images of both bins and their uncertainties as a stack of planes.

The same function serves training and the lane, so that a network never meets an input made in another way. Values stay
in physical units; a network normalises them itself, with constants that lie in its graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.inference.tiles import FLOOR, UNUSABLE
from kernels.network_planes import Slab, fill_planes
from kernels.types import F32, U16

BINS = ("low", "high")
#: Planes of one image: attenuation −ln t (1), refraction Δ (µm at M1), dark-field τ² (µm²), offset −ln o (1), and the
#: least and most that they are clipped to: beyond lie only pixels that the retrieval got wrong.
VALUES: dict[str, tuple[float, float]] = {
    "attenuation": (-0.5, 7.0),
    "refraction": (-30.0, 30.0),
    "dark_field": (-100.0, 1000.0),
    "offset_attenuation": (-0.5, 7.0),
}
#: Usable in both bins: 1, else 0; where it is 0, every other plane is 0 too.
VALID = "valid"
#: Names of all planes, in order: each value is followed by its 1-σ in the same unit (``… sd``).
PLANES: tuple[str, ...] = (
    *(f"{value} {bin_}{of}" for value in VALUES for bin_ in BINS for of in ("", " sd")),
    VALID,
)
_LIMITS = np.array(list(VALUES.values()), np.float32)
_LOGARITHMIC = np.array([value.endswith("attenuation") for value in VALUES], np.uint8)


def planes(images: F32, sigma: F32, flags: U16) -> F32:
    """:data:`PLANES` of images and their 1-σ (4, 2, rows, columns) with flags (2, rows, columns): float32 (17, …).

    Every pixel depends on itself alone, so the columns of a bag may be given in any parts.
    """
    expected = (len(VALUES), len(BINS), *images.shape[2:])
    if images.shape != expected or sigma.shape != expected or flags.shape != expected[1:]:
        raise ValueError(f"images {images.shape}, sigma {sigma.shape}, flags {flags.shape}: {expected} expected")
    made = np.empty((len(PLANES), *images.shape[2:]), np.float32)
    write_planes([(images, sigma, flags)], made)
    return made


def write_planes(slabs: Sequence[Slab], out: F32, first: int = 0) -> None:
    """:data:`PLANES` of slabs side by side, from column ``first`` of the first one on, to ``out`` (17, rows, columns).

    What ``out`` has of further columns is made 0; it may end within the last slab. ValueError names what does not fit.
    """
    fill_planes(
        slabs,
        out,
        first=first,
        limits=_LIMITS,
        logarithmic=_LOGARITHMIC,
        floor=FLOOR,
        unusable=int(UNUSABLE),
    )
