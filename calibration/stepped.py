"""Static, stepped acquisitions: belt and sample at rest, the sample mask moved to N ≥ 3 places, frames summed at each.

Every detector column then is a pixel of its own, with the curve of its group; masks of three or four ways and regular
ones (one way) differ in nothing but that curve. Retrieval is :func:`kernels.retrieve_stepped`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import kernels
from firmware_bridge.scanner import GROUPS
from kernels.types import F32, F64, IlluminationCurves, Model, OffsetPrior, Retrieval


def fit_ways(positions_um: F64, flats: F32) -> tuple[IlluminationCurves, F32]:
    """Equation (1) of a mask of three or four ways, and the rms residual over the peak (2, rows).

    ``positions_um`` (P,); ``flats`` (P, ways, 2, rows): mean counts per frame of the groups in air. Three groups are
    fitted as four, the first one again behind the last: only far neighbours of it then stand elsewhere, at a distance
    where they give under a thousandth of the peak. Keep the scan within ±25 µm for them. ValueError on other shapes.
    """
    ways = flats.shape[1]
    if ways not in (GROUPS - 1, GROUPS):
        raise ValueError(f"flats: {ways} groups; masks of {GROUPS - 1} and {GROUPS} ways can be fitted")
    four = flats if ways == GROUPS else np.concatenate([flats, flats[:, :1]], axis=1)
    fitted, residual = kernels.fit_curves(positions_um, np.ascontiguousarray(four))
    area, centre, width = (np.ascontiguousarray(p[..., :ways]) for p in (fitted.area, fitted.centre, fitted.width))
    return IlluminationCurves(area, centre, width, fitted.floor), residual


def of_columns(curves: IlluminationCurves, columns: npt.NDArray[np.intp], pitch_um: float) -> IlluminationCurves:
    """The curve of every one of these detector columns as that of a regular mask, on the axis of mask positions.

    Column c belongs to group c mod ways, whose curve stands at ``pitch_um`` times the group. Arrays (2, rows, n, 1).
    """
    group = np.asarray(columns) % curves.area.shape[-1]
    area, centre, width = (part[..., group][..., None] for part in (curves.area, curves.centre, curves.width))
    floor = np.repeat(curves.floor[..., None], group.size, axis=-1)
    moved = centre - (pitch_um * group).astype(np.float32)[:, None]
    return IlluminationCurves(*(np.ascontiguousarray(part, np.float32) for part in (area, moved, width, floor)))


def modelled(curves: IlluminationCurves, positions_um: F64, pitch_um: float) -> F32:
    """Counts of air that ``curves`` of :func:`of_columns` give: (N, 2, rows, n)."""
    area, centre, width = (np.asarray(part[..., 0], np.float64) for part in (curves.area, curves.centre, curves.width))
    total = np.repeat(curves.floor[None].astype(np.float64), len(positions_um), axis=0)
    for side in (-1, 0, 1):
        away = np.asarray(positions_um)[:, None, None, None] - centre - side * pitch_um
        total += area / (np.sqrt(2 * np.pi) * width) * np.exp(-0.5 * (away / width) ** 2)
    return total.astype(np.float32)


def retrieve(
    samples: F32,
    flats: F32,
    curves: IlluminationCurves,
    positions_um: F64,
    *,
    frames: npt.ArrayLike,
    prior: OffsetPrior | None,
    pitch_um: float,
    model: Model = "map",
) -> Retrieval:
    """Images of a stepped acquisition: S · M / F, as in the moving scan, then equation (2) at every pixel.

    ``samples``, ``flats`` (N, 2, rows, n): mean counts per frame with and without the sample, at the places
    ``positions_um`` (N,) of the mask; ``curves`` those of :func:`of_columns`; ``frames`` behind every sample, a number
    or (n,). A flat without counts makes its pixels NaN. Raises ValueError as :func:`kernels.retrieve_stepped` does.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = np.where(flats > 0, modelled(curves, positions_um, pitch_um) / flats, np.nan)
    return kernels.retrieve_stepped(
        np.ascontiguousarray(samples * gain * np.asarray(frames), np.float32),
        curves,
        positions_um,
        exposure=frames,
        model=model,
        prior=prior,
        pitch_um=pitch_um,
    )
