"""The work behind :mod:`edge.inference.planes`, which says what each plane means: one pass over memory."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from kernels import _host
from kernels.settings import BINS
from kernels.types import F32, U8, U16

_Number = TypeVar("_Number", bound=np.generic)


def fill_planes(
    images: F32,
    sigma: F32,
    flags: U16,
    out: F32,
    *,
    limits: F32,
    logarithmic: U8,
    floor: float,
    unusable: int,
    isa: str = "",
) -> None:
    """Write ``out`` (17, rows, columns) of images and sigma (4, 2, rows, columns) with flags (2, rows, columns).

    Value and 1-σ of every channel and bin, within ``limits`` (4, 2) of the channel, then 1; all are 0 where a value is
    not finite or a bin has one of the flags ``unusable``. Where ``logarithmic`` (4,) is set, the value is −ln of what
    is at least ``floor``. All may be views with gaps between rows. ValueError names an array of another size or type.
    """
    if out.dtype != np.float32 or out.strides[2:] != (out.itemsize,):
        raise ValueError(f"out: {out.dtype} with strides {out.strides}; float32 with whole rows is expected")
    images, sigma = _whole_rows(images, np.float32), _whole_rows(sigma, np.float32)
    # NumPy's logarithm: networks were trained on it, and int8 makes a difference of the last bit a larger one.
    chosen = [values for values, is_chosen in zip(images, logarithmic, strict=False) if is_chosen]
    logarithms = np.empty((BINS * len(chosen), *images.shape[2:]), np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):  # the kernel takes none of those
        for k, values in enumerate(chosen):
            np.log(values, out=logarithms[BINS * k : BINS * (k + 1)])
    _host.network_planes(
        images=images,
        sigma=sigma,
        flags=_whole_rows(flags, np.uint16),
        logarithms=logarithms,
        logarithmic=logarithmic,
        limits=limits,
        floor=floor,
        floor_logarithm=_logarithm(floor),
        unusable=unusable,
        planes=out,
        isa=isa,
    )


@lru_cache
def _logarithm(value: float) -> float:
    """As it is computed for the elements of an array; for a single number it may be another bit."""
    return float(np.log(np.full(64, value, np.float32))[0])


def pack_rows(memory: F32, width: int, kept: int, narrow: int) -> None:
    """Make rows of ``width`` floats rows of ``narrow``, in place: their first ``kept`` floats, then zeros.

    ``memory``: one axis, whole rows. ValueError when sizes do not fit.
    """
    _host.pack_rows(memory=memory, width=width, kept=kept, narrow=narrow)


def _whole_rows(array: npt.NDArray[_Number], dtype: type[_Number]) -> npt.NDArray[_Number]:
    """The array, or a copy where its type is another or its rows have gaps."""
    array = np.asarray(array, dtype)
    return array if array.strides[-1] == array.itemsize else np.ascontiguousarray(array)
