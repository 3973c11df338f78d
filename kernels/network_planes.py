"""The work behind :mod:`edge.inference.planes`, which says what each plane means: one pass over memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kernels import _host
from kernels.types import F32, U8, U16

_Number = TypeVar("_Number", bound=np.generic)


#: Images and sigma (4, 2, rows, columns) and flags (2, rows, columns) of some columns.
Slab = tuple[F32, F32, U16]


def fill_planes(
    slabs: Sequence[Slab],
    out: F32,
    *,
    limits: F32,
    logarithmic: U8,
    floor: float,
    unusable: int,
    first: int = 0,
    isa: str = "",
) -> None:
    """Write ``out`` (17, rows, columns) of ``slabs`` side by side, from column ``first`` of the first one on.

    Value and 1-σ of every channel and bin, within ``limits`` (4, 2) of the channel, then 1; all are 0 where a value is
    not finite or a bin has one of the flags ``unusable``. Where ``logarithmic`` (4,) is set, the value is −ln of what
    is at least ``floor``, to the last bit what NumPy says with AVX-512. ``out`` may have more columns, which are 0, or
    end within the last slab. All may be views with gaps between rows. ValueError names an array of another size or
    type.
    """
    if out.dtype != np.float32 or out.strides[2:] != (out.itemsize,):
        raise ValueError(f"out: {out.dtype} with strides {out.strides}; float32 with whole rows is expected")
    _host.network_planes(
        slabs=[
            (_whole_rows(images, np.float32), _whole_rows(sigma, np.float32), _whole_rows(flags, np.uint16))
            for images, sigma, flags in slabs
        ],
        first=first,
        logarithmic=logarithmic,
        limits=limits,
        floor=floor,
        unusable=unusable,
        planes=out,
        isa=isa,
    )


def pack_rows(memory: F32, width: int, kept: int, narrow: int) -> None:
    """Make rows of ``width`` floats rows of ``narrow``, in place: their first ``kept`` floats, then zeros.

    ``memory``: one axis, whole rows. ValueError when sizes do not fit.
    """
    _host.pack_rows(memory=memory, width=width, kept=kept, narrow=narrow)


def _whole_rows(array: npt.NDArray[_Number], dtype: type[_Number]) -> npt.NDArray[_Number]:
    """The array, or a copy where its type is another or its rows have gaps."""
    array = np.asarray(array, dtype)
    return array if array.strides[-1] == array.itemsize else np.ascontiguousarray(array)
