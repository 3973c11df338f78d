"""Retrieval from a mask that is moved step by step, and from masks of other than four ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.backends import BackendName, get
from kernels.settings import BINS, SETTINGS
from kernels.types import F32, F64, IlluminationCurves, Model, OffsetPrior, Retrieval

#: What the compiled kernel has room for (kernels/cuda/stepped_model.cuh).
MAX_WAYS, MAX_POSITIONS = 8, 64
#: t, Δ and τ² need three samples; with o free, four.
MIN_POSITIONS, MIN_POSITIONS_FREE = 3, 4
#: A sample sees its own curve and two neighbours: further out than this, in pitches, a third one matters.
REACH = 0.6


def retrieve_stepped(
    samples: F32,
    curves: IlluminationCurves,
    positions_um: npt.ArrayLike,
    *,
    exposure: npt.ArrayLike = 1.0,
    variance_factor: npt.ArrayLike = 1.0,
    model: Model = "map",
    prior: OffsetPrior | None = None,
    pitch_um: float = SETTINGS.pitch_um,
    backend: BackendName = "auto",
    threads: int = 1,
) -> Retrieval:
    """Fit equation (2) to samples at N ≥ 3 positions, as :func:`kernels.retrieve` does to the four of the lane.

    ``samples``: (N, 2 bins, rows, columns) float32 counts. ``positions_um``: (N,) on the axis of the curves.
    ``curves``: equation (1) for G curves at distances of ``pitch_um``, area, centre, width (2, rows, G) and floor
    (2, rows), or for each pixel (2, rows, columns, G) and (2, rows, columns). Sample k belongs to curve k mod G:

    - a regular mask moved to N positions: G = 1, the curve repeats at the pitch, positions are those of the mask;
    - a G-way mask that is scanned: N = G, the samples are the phase sums, positions x0 + ``pitch_um``·k.

    ``model``: `full` leaves o free and needs N ≥ 4; `map` ties o with the ``prior`` on both bins (to the transmission
    alone as its sd goes to 0) and is the only one for N = 3. ``exposure``: expected counts of a sample are this many
    times those of the curves: a number, (columns,), or (N, columns) for steps of different length, also as (N, 1).
    ``variance_factor``: a number or (columns,).

    Unlike :func:`kernels.retrieve` this takes no bias off and never sets ``Flag.SKEWED``; σ is that of the bound. The
    second order needs derivatives up to the fourth of every curve at every position, for up to 64 of them. It would
    gain little: with four positions the bias of `map` was 0.09 σ at 1e3 counts, from 1e4 on that of the lane; of `full`
    0.16 σ at 1e5, at 1e6 that of the lane (simulated scenes "typical" and "strong dark-field").

    A sample that is NaN, zero, negative or saturated, or a curve of a pixel that is NaN, gives NaN and
    ``Flag.BAD_INPUT``. Raises ValueError that names the argument and the value.
    """
    if model not in ("full", "map"):
        raise ValueError(f"model: is {model!r}, expected full or map")
    if model == "map" and prior is None:
        raise ValueError("prior: is None, but model 'map' needs one; calibrate, or use model 'full'")
    data: F32 = checks.array("samples", samples, (None, BINS, None, None), np.float32)
    count, _, rows, columns = data.shape
    least = MIN_POSITIONS if model == "map" else MIN_POSITIONS_FREE
    if not least <= count <= MAX_POSITIONS:
        raise ValueError(f"samples: has {count} positions, expected {least} to {MAX_POSITIONS} for model {model!r}")
    pitch = checks.number("pitch_um", pitch_um, 1.0, 1e4)
    packed = _pack(curves, rows, columns)
    engine = get(backend)
    images, sigma, flags = engine.retrieve_stepped(
        data,
        packed,
        _positions(positions_um, count, packed, pitch),
        pitch,
        _exposures(exposure, count, columns),
        checks.per_column("variance_factor", variance_factor, columns),
        None if model == "full" or prior is None else checks.prior("prior", prior),
        int(checks.number("threads", threads, 1, 1024)),
    )
    return Retrieval(images=images, sigma=sigma, flags=flags, backend=engine.name)


def _pack(curves: IlluminationCurves, rows: int, columns: int) -> F32:
    """(3 G + 1, 2, rows, 1 or columns): areas, centres, widths, floor."""
    floor = np.asarray(curves.floor)
    per = () if floor.ndim == 2 else (columns,)
    checks.array("curves.floor", floor, (BINS, rows, *per), np.float32)
    parts = []
    for field in ("area", "centre", "width"):
        part: F32 = checks.array(f"curves.{field}", getattr(curves, field), (BINS, rows, *per, None), np.float32)
        parts.append(part)
    ways = parts[0].shape[-1]
    if not 1 <= ways <= MAX_WAYS or any(part.shape != parts[0].shape for part in parts):
        shapes = ", ".join(str(part.shape) for part in parts)
        raise ValueError(f"curves: area, centre, width are {shapes}; expected equal shapes, 1 to {MAX_WAYS} curves")
    packed = np.concatenate([*parts, floor[..., None]], axis=-1)
    if not per:  # of a whole row; a pixel without curves is flagged instead
        positive = [*range(ways), *range(2 * ways, 3 * ways)]
        bad = ~np.isfinite(packed).all(axis=-1) | ~(packed[..., positive] > 0).all(axis=-1) | (packed[..., -1] < 0)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise ValueError(
                f"curves: those of bin, row {at} are {packed[at].tolist()}; expected finite numbers, areas and widths "
                "positive, the floor not negative; calibrate again"
            )
    planes = np.moveaxis(packed, -1, 0)
    return np.ascontiguousarray(planes if per else planes[..., None])


def _positions(value: npt.ArrayLike, count: int, packed: F32, pitch: float) -> F32:
    at: F64 = np.asarray(value, dtype=np.float64)
    if at.shape != (count,) or not np.isfinite(at).all():
        raise ValueError(f"positions_um: is {at.tolist()}, expected {count} finite positions, one for each of samples")
    ways = len(packed) // 3
    if count % ways != 0:
        raise ValueError(f"positions_um: {count} samples for {ways} curves; expected as many for each curve")
    centres = packed[ways : 2 * ways].reshape(ways, -1)
    seen = np.isfinite(centres).all(axis=0)
    if seen.any():
        middle = np.median(centres[:, seen], axis=1)
        away = at - middle[np.arange(count) % ways]
        k = int(np.argmax(np.abs(away)))
        if abs(away[k]) > REACH * pitch:
            raise ValueError(
                f"positions_um: position {k} is {at[k]:g} µm, {away[k]:g} µm from the centre of its curve; expected at "
                f"most {REACH * pitch:g} µm, subtract whole periods of the mask"
            )
    if ways == 1 and len(np.unique(at)) < MIN_POSITIONS:
        raise ValueError(f"positions_um: is {at.tolist()}, expected at least {MIN_POSITIONS} different positions")
    return at.astype(np.float32)


def _exposures(value: npt.ArrayLike, count: int, columns: int) -> F32:
    given = np.asarray(value, dtype=np.float32)
    if given.shape not in ((), (columns,), (count, 1), (count, columns)):
        raise ValueError(
            f"exposure: shape is {given.shape}, expected a number, ({columns},), ({count}, 1) or ({count}, {columns})"
        )
    bad = ~(np.isfinite(given) & (given > 0))
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"exposure: value at {at} is {given[at]}, expected a positive number")
    return np.ascontiguousarray(np.broadcast_to(given, (count, columns)))
