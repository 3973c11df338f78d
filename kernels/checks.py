"""Argument checks: every error names the argument, what it was, and what it should be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import F32, F64, U16, IlluminationCurves, OffsetPrior, Retrieval


def array(name: str, value: npt.ArrayLike, shape: Sequence[int | None], dtype: Any) -> Any:
    """``value`` as a C-ordered array of exactly ``dtype`` and ``shape`` (None is any length); nothing is cast."""
    found = np.asarray(value)
    if found.dtype != np.dtype(dtype):
        raise ValueError(f"{name}: dtype is {found.dtype}, expected {np.dtype(dtype)}; convert it before the call")
    wrong = found.ndim != len(shape) or any(w not in (None, n) for w, n in zip(shape, found.shape, strict=False))
    if wrong:
        wanted = ", ".join("any" if n is None else str(n) for n in shape)
        raise ValueError(f"{name}: shape is {found.shape}, expected ({wanted})")
    if not found.flags.c_contiguous:
        raise ValueError(f"{name}: strides are {found.strides}, expected C order; use numpy.ascontiguousarray")
    return found


def number(name: str, value: float, low: float, high: float) -> float:
    """``value`` as a float inside [low, high]."""
    result = float(value)
    if not low <= result <= high:
        raise ValueError(f"{name}: is {value!r}, expected a number from {low} to {high}")
    return result


def per_column(name: str, value: npt.ArrayLike, columns: int) -> F32:
    """A positive finite float, or one for each column, as (columns,) float32."""
    given = np.asarray(value, dtype=np.float32)
    if given.shape not in ((), (columns,)):
        raise ValueError(f"{name}: shape is {given.shape}, expected a number or ({columns},)")
    result = np.ascontiguousarray(np.broadcast_to(given, (columns,)))
    bad = ~(np.isfinite(result) & (result > 0))
    if bad.any():
        at = int(np.argmax(bad))
        raise ValueError(f"{name}: column {at} is {result[at]}, expected a positive number")
    return result


def curves(name: str, value: IlluminationCurves, rows: int | None = None) -> F32:
    """The curves as (2, rows, 13) float32: four areas, centres, widths and the floor; all finite, widths positive."""
    count = int(value.floor.shape[1]) if rows is None and value.floor.ndim == 2 else rows
    parts: list[F32] = []
    for field in ("area", "centre", "width"):
        parts.append(array(f"{name}.{field}", getattr(value, field), (BINS, count, GROUPS), np.float32))
    floor: F32 = array(f"{name}.floor", value.floor, (BINS, count), np.float32)
    packed = np.concatenate([*parts, floor[..., None]], axis=-1)
    limits = {"area": slice(0, 4), "width": slice(8, 12)}
    for field, part in limits.items():
        _refuse(f"{name}.{field}", packed[..., part], ~(packed[..., part] > 0), "a positive number")
    _refuse(name, packed, ~np.isfinite(packed), "a finite number; the calibration is damaged, calibrate again")
    _refuse(f"{name}.floor", packed[..., 12:], packed[..., 12:] < 0, "zero or a positive number")
    return np.ascontiguousarray(packed)


def _refuse(name: str, values: F32, bad: npt.NDArray[np.bool_], expected: str) -> None:
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}: value at {at} is {values[at]}, expected {expected}")


def prior(name: str, value: OffsetPrior) -> F32:
    """The prior as (12,) float32: five coefficients for each bin, then both standard deviations."""
    coefficients: F64 = np.asarray(value.coefficients, dtype=np.float64)
    sd: F64 = np.asarray(value.sd, dtype=np.float64)
    if coefficients.shape != (BINS, 5) or sd.shape != (BINS,):
        raise ValueError(f"{name}: coefficients {coefficients.shape}, sd {sd.shape}; expected (2, 5) and (2,)")
    if not (np.isfinite(coefficients).all() and np.isfinite(sd).all() and (sd >= 0).all()):
        raise ValueError(f"{name}: has coefficients {coefficients.tolist()} and sd {sd.tolist()}; calibrate again")
    packed: F32 = np.concatenate([coefficients.ravel(), np.maximum(sd, SETTINGS.prior_sd_min)]).astype(np.float32)
    return packed


def frames(name: str, value: npt.ArrayLike, rows: int, columns: int) -> npt.NDArray[np.uint16]:
    """Detector frames as (n, 2, rows, columns) uint16; a single frame gets its axis."""
    found = np.asarray(value)
    if found.shape[1:] == (BINS, rows, columns) and found.dtype == np.uint16 and found.flags.c_contiguous:
        return found  # frame by frame, the checks that say what is wrong would cost a twentieth of the time
    if found.ndim == 3:
        found = found[None]
    result: npt.NDArray[np.uint16] = array(name, found, (None, BINS, rows, columns), np.uint16)
    return result


def good_pixels(name: str, value: npt.ArrayLike | None, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """(2, rows, columns) uint8, all ones when None."""
    if value is None:
        return np.ones((BINS, rows, columns), dtype=np.uint8)
    result: npt.NDArray[np.uint8] = array(name, value, (BINS, rows, columns), np.uint8)
    return result


def results(name: str, value: Retrieval, samples: F32) -> tuple[F32, F32, U16]:
    """Arrays of an earlier result that one of ``samples`` may overwrite: of its shape, and its own memory."""
    found: dict[str, Any] = {
        "images": array(f"{name}.images", value.images, samples.shape, np.float32),
        "sigma": array(f"{name}.sigma", value.sigma, samples.shape, np.float32),
        "flags": array(f"{name}.flags", value.flags, samples.shape[1:], np.uint16),
    }
    for field, values in found.items():
        if not values.flags.writeable:
            raise ValueError(f"{name}.{field}: is read-only, expected an array that can be overwritten")
        for other, taken in {"samples": samples, **found}.items():
            if other != field and np.may_share_memory(values, taken):
                raise ValueError(f"{name}.{field}: shares memory with {other}; give it an array of its own")
    return found["images"], found["sigma"], found["flags"]


def model(value: str) -> int:
    """Number of the model in the compiled kernels."""
    names = ("paper", "full", "map")
    if value not in names:
        raise ValueError(f"model: is {value!r}, expected one of {', '.join(names)}")
    return names.index(value)
