"""Steps of a region against what surrounds it, and the thickness-independent ratios of a step.

The paper's Supplementary Fig. 4 divides t and o and subtracts τ² by the values of the background; in the planes
used here (−ln t, −ln o, τ²) all three are differences.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edge.inference.regions import AIR, FIRST, I32, UNSEEN, touching
from edge.inference.settings import Settings
from edge.inference.tiles import Bool, Planes
from kernels.types import F64

#: Coordinates in which materials are told apart. R_df follows from them (:func:`dark_field_ratio`): it carries no
#: further information, and its noise is not Gaussian where the high-bin dark-field is weak.
FEATURES = ("R_ab", "R_of", "dark_field/attenuation low", "dark_field/attenuation high")
_A_LO, _A_HI, _O_LO, _O_HI, _T_LO, _T_HI = range(6)


@dataclass(frozen=True)
class Step:
    """One region against one background: ``values`` (6,) differences of the planes, ``covariance`` (6, 6).

    ``base`` is the background's attenuation (low, high), ``share`` the part of the ring it holds. ``within``: no
    edge lies between them, so the step is a change within (or a cover of part of) one thing.
    """

    values: F64
    covariance: F64
    base: tuple[float, float]
    share: float
    within: bool = False

    @property
    def attenuation(self) -> float:
        """Low-bin −ln t of the step."""
        return float(self.values[_A_LO])


@dataclass(frozen=True)
class Region:
    """One region worth judging: its mask within ``box`` (row and column slices in blocks), and its steps."""

    label: int
    box: tuple[slice, slice]
    mask: Bool
    steps: tuple[Step, ...]


def ratios(step: Step) -> tuple[F64, F64]:
    """:data:`FEATURES` of ``step`` (4,) and their covariance (4, 4), by linear propagation."""
    v = step.values
    a_lo, a_hi, o_hi = _away(v[_A_LO]), _away(v[_A_HI]), _away(v[_O_HI])
    values = np.array([a_lo / a_hi, v[_O_LO] / o_hi, v[_T_LO] / a_lo, v[_T_HI] / a_hi])
    jacobian = np.zeros((4, 6))
    jacobian[0, [_A_LO, _A_HI]] = 1 / a_hi, -values[0] / a_hi
    jacobian[1, [_O_LO, _O_HI]] = 1 / o_hi, -values[1] / o_hi
    jacobian[2, [_T_LO, _A_LO]] = 1 / a_lo, -values[2] / a_lo
    jacobian[3, [_T_HI, _A_HI]] = 1 / a_hi, -values[3] / a_hi
    return values, jacobian @ step.covariance @ jacobian.T


def dark_field_ratio(step: Step) -> tuple[float, float] | None:
    """R_df = τ²_low/τ²_high and its 1-σ; None where the denominator is within 2 σ of zero."""
    low, high = step.values[_T_LO], step.values[_T_HI]
    variance_high = step.covariance[_T_HI, _T_HI]
    if high <= 2 * np.sqrt(variance_high):
        return None
    ratio = low / high
    gradient = np.array([1 / high, -ratio / high])
    block = step.covariance[np.ix_([_T_LO, _T_HI], [_T_LO, _T_HI])]
    return float(ratio), float(np.sqrt(gradient @ block @ gradient))


def _away(value: float, least: float = 1e-3) -> float:
    """Keep a denominator from zero; such steps are below ``min_step`` and not judged."""
    return float(value) if abs(value) > least else least


def regions(planes: Planes, labels: I32, min_area_mm2: float, settings: Settings) -> list[Region]:
    """Regions of at least ``min_area_mm2`` with their steps against each adjacent region that absorbs less."""
    count = np.bincount(labels.ravel(), minlength=FIRST)
    enough = count * (planes.block_mm[0] * planes.block_mm[1]) >= min_area_mm2
    # Slivers (walls, rims) are no background; half of the smallest region that is judged is one.
    background = count * (planes.block_mm[0] * planes.block_mm[1]) >= min_area_mm2 / 2
    background[UNSEEN], background[AIR] = False, True
    siblings = touching(labels)
    found = []
    pad = [int(np.ceil((settings.ring_mm + settings.border_mm) / mm)) + 1 for mm in planes.block_mm]
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if label < FIRST or box is None or not enough[label]:
            continue
        wide = (_widened(box[0], pad[0], labels.shape[0]), _widened(box[1], pad[1], labels.shape[1]))
        parts = siblings[siblings[:, 0] == label, 1]
        steps = _steps(planes, labels[wide], wide, label, background, parts, settings)
        found.append(Region(label, box, labels[box] == label, steps))
    return found


def _widened(part: slice, by: int, size: int) -> slice:
    return slice(max(part.start - by, 0), min(part.stop + by, size))


def _within(distance_mm: float, block_mm: tuple[float, float]) -> Bool:
    """Blocks no further than that from the one in the middle."""
    reach = [int(distance_mm / mm) for mm in block_mm]
    rows, columns = (np.arange(-n, n + 1) * mm for n, mm in zip(reach, block_mm, strict=True))
    near: Bool = np.hypot(rows[:, None], columns) <= distance_mm
    return near


def _steps(
    planes: Planes,
    near: I32,
    box: tuple[slice, slice],
    label: int,
    background: Bool,
    siblings: npt.NDArray[np.int64],
    settings: Settings,
) -> tuple[Step, ...]:
    mask = near == label
    interior = ndimage.binary_erosion(mask, _within(settings.border_mm, planes.block_mm))
    if interior.sum() < 8:
        interior = mask
    outside = ndimage.distance_transform_edt(~mask, sampling=planes.block_mm)
    ring = (outside > settings.border_mm) & (outside <= settings.border_mm + settings.ring_mm) & background[near]
    values, variance = planes.values[(slice(None), *box)], planes.variance[(slice(None), *box)]
    mean, covariance = average(values[:, interior], variance[:, interior], settings.region_correlation)
    labels_there, blocks = np.unique(near[ring], return_counts=True)
    steps = []
    for other, n in zip(labels_there, blocks, strict=True):
        share = n / max(int(ring.sum()), 1)
        if share < settings.ring_share or n < 8:
            continue
        there = ring & (near == other)
        base, spread = average(values[:, there], variance[:, there], settings.ring_correlation)
        step = mean - base
        if step[_A_LO] < settings.min_step or step[_A_HI] <= 0:
            continue
        total = covariance + spread + np.diag(_background_change(base, settings) ** 2)
        attenuation = (float(base[_A_LO]), float(base[_A_HI]))
        steps.append(Step(step, total, attenuation, float(share), bool((siblings == other).any())))
    return tuple(steps)


def average(values: npt.NDArray[np.float32], variance: npt.NDArray[np.float32], correlation: float) -> tuple[F64, F64]:
    """Mean (6,) of blocks (6, n), and its covariance (6, 6) from their scatter, at least that of the retrieval's σ.

    The mean is not weighted with the σ of each block: it follows the block's own counts, and would favour one half
    of the noise (and of a textured material). ``correlation``: blocks that vary together.
    """
    n = values.shape[1]
    mean = values.mean(1, dtype=np.float64)
    centred = values - mean[:, None]
    independent = max(n / correlation, 1.0)
    scatter = centred.astype(np.float64) @ centred.T.astype(np.float64) / max(n - 1, 1) / independent
    floor = variance.mean(1, dtype=np.float64) / n
    return mean, scatter + np.diag(floor)


def _background_change(base: F64, settings: Settings) -> F64:
    """1-σ (6,) by which the background may differ behind the region from what it is beside it."""
    attenuation, dark_field = settings.background_attenuation, settings.background_dark_field
    tables = (attenuation, attenuation, attenuation, attenuation, dark_field, dark_field)
    return np.array([a + f * abs(b) for (a, f), b in zip(tables, base, strict=True)])
