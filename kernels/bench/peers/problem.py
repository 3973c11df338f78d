"""The problem that every peer gets: n independent fits of t, Δ, τ², o to four samples, model `full`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kernels.bench.scene import X0_UM, Pixels
from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import F32

#: Own, left and right neighbour: a curve i reaches the sample of group i + k.
REACH = (0, -1, 1)
#: Scales of the four unknowns in the stopping rule and the step at which iterating stops, as in our own solver.
SCALES = (SETTINGS.step_t, SETTINGS.step_refraction_um, SETTINGS.step_dark_field_um2, SETTINGS.step_offset)
TOLERANCE = SETTINGS.tolerance
LOW = (SETTINGS.t_min, -SETTINGS.refraction_max_um, SETTINGS.dark_field_min_um2, SETTINGS.offset_min)
HIGH = (SETTINGS.t_max, SETTINGS.refraction_max_um, SETTINGS.dark_field_max_um2, SETTINGS.offset_max)


@dataclass(frozen=True)
class Fits:
    """``y`` (4, n) counts per frame, ``weight`` (4, n) = 1/variance, ``first`` (4, n) first guess of t, Δ, τ², o.

    Curves: ``amplitude`` a_i0/√2π, ``offset`` x_i − a_i1 in µm, ``variance`` a_i2² in µm², (4, n); ``floor`` (n,).
    """

    y: F32
    weight: F32
    first: F32
    amplitude: F32
    offset: F32
    variance: F32
    floor: F32

    def __len__(self) -> int:
        return int(self.y.shape[1])

    def part(self, chosen: slice | npt.NDArray[np.intp]) -> Fits:
        """Some of the fits, as contiguous arrays."""
        parts = (self.y, self.weight, self.first, self.amplitude, self.offset, self.variance, self.floor)
        return Fits(*(np.ascontiguousarray(a[..., chosen]) for a in parts))


def fits_of(pixels: Pixels) -> Fits:
    """Both bins of all pixels as fits of their own, each with the curves of its row and one common way to start."""
    rows, columns = pixels.samples.shape[2:]

    def each(values: npt.ArrayLike) -> F32:
        """(…, 2, rows) to (…, n)."""
        array = np.asarray(values, dtype=np.float32)
        spread = np.broadcast_to(array[..., None], (*array.shape, columns))
        return np.ascontiguousarray(spread.reshape(*array.shape[:-2], BINS * rows * columns))

    c = pixels.curves
    y = (pixels.samples / np.float32(pixels.exposure)).reshape(GROUPS, -1)
    counts = np.maximum(pixels.samples.reshape(GROUPS, -1), np.float32(SETTINGS.floor_counts))
    amplitude = each(np.moveaxis(c.area, -1, 0) / np.sqrt(2 * np.pi))
    stations = X0_UM + SETTINGS.pitch_um * np.arange(GROUPS)
    offset = each(stations[:, None, None] - np.moveaxis(c.centre, -1, 0))
    variance = each(np.moveaxis(c.width, -1, 0) ** 2)
    floor = each(c.floor)
    weight = (np.float32(pixels.exposure) ** 2 / counts).astype(np.float32)
    first = start(y, amplitude, offset, variance, floor)
    return Fits(y, weight, first, amplitude, offset, variance, floor)


def start(y: F32, amplitude: F32, offset: F32, variance: F32, floor: F32) -> F32:
    """First guess (4, n): o from the sum of the samples, then a weighted parabola through their logarithms."""
    air = (amplitude / np.sqrt(variance) * np.exp(-(offset**2) / (2 * variance)) + floor).sum(axis=0)
    o = np.clip(y.sum(axis=0) / air, 1e-3, SETTINGS.t_max)
    net = np.maximum(y - floor * o, 0.02 * y)
    u = offset / 16.0  # keeps the moments near 1
    power = np.stack([np.ones_like(u), u, u * u])
    w = net**2 / np.maximum(y, 1e-6)
    logarithm = np.log(net / amplitude)
    normal = np.einsum("agn,bgn,gn->nab", power, power, w) + 1e-6 * np.eye(3)
    right = np.einsum("agn,gn,gn->na", power, w, logarithm)
    constant, slope, curvature = np.linalg.solve(normal, right[..., None])[..., 0].T
    mean = variance.mean(axis=0)
    v = np.clip(-128.0 / np.minimum(curvature, -1e-3), 0.6 * mean, 450.0 + mean)
    shift = np.clip(slope * v / 16.0, -7.5, 7.5)
    t = np.exp(np.clip(constant + 0.5 * np.log(v) + shift**2 / (2 * v), -9.0, 1.0))
    return np.stack([np.clip(t, 0.3 * o, 2 * o + 0.01), shift, v - mean, o]).astype(np.float32)


def chi2(fits: Fits, found: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Σ W r² (n,) of the results ``found`` (4, n), in float64; NaN where a result is not finite."""
    t, shift, dark_field, o = (np.asarray(row, dtype=np.float64) for row in np.asarray(found))
    total = np.zeros(np.asarray(fits.y).shape, dtype=np.float64)
    for i in range(GROUPS):
        v = np.maximum(fits.variance[i] + dark_field, SETTINGS.variance_fraction * fits.variance[i])
        for k in REACH:
            u = fits.offset[i] + SETTINGS.pitch_um * k - shift
            total[(i + k) % GROUPS] += fits.amplitude[i] / np.sqrt(v) * np.exp(-(u**2) / (2 * v))
    rest = fits.y - total * t - fits.floor * o
    value: npt.NDArray[np.float64] = (fits.weight * rest**2).sum(axis=0)
    return value
