"""What the retrieval makes of the real, not quite Gaussian illumination curve, computed from the mask scan alone.

The measured curves of all rows, laid on each other, give one smooth curve. Broadened by a known variance v and
retrieved as a sample is, it shows what τ² and t the retrieval returns for that v; turned round, that corrects them.
No standard sample is needed. It is right where a sample's scatter is Gaussian; grains are only nearly so.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.interpolate import CubicSpline

import kernels
from firmware_bridge.scanner import BINS, GROUPS, Scanner
from kernels.types import IlluminationCurves, OffsetPrior

F64 = npt.NDArray[np.float64]

#: Grid of the pooled curve, µm, and rounds of the turning round.
GRID_UM, ROUNDS = 1.0, 6
#: Finer than this the focal spot leaves nothing of the curve, periods per µm: the rest is noise, and a small τ² that
#: took it away would look like a large one.
FINEST_PER_UM = 0.08
#: Masks bend: so many places of the rows, evenly over their distribution, are looked at and averaged.
BENDS = 5
#: A node of the grid counts with at least this part of the largest weight.
SEEN = 0.05


class Response:
    """Of one calibration. ``positions_um`` (P,) and ``means`` (P, 4, 2, rows): the fine scan; ``curves``: its fit."""

    def __init__(
        self,
        scanner: Scanner,
        positions_um: F64,
        means: npt.NDArray[np.float32],
        curves: IlluminationCurves,
        prior: OffsetPrior,
        x0_um: float,
        exposure: float,
    ) -> None:
        self._prior, self._x0_um, self._exposure = prior, x0_um, exposure
        self._pitch = scanner.m1_period_um
        self._period = GROUPS * self._pitch
        nominal = np.asarray([self._pitch * g + d for g, d in enumerate(scanner.m1_shifts_um)])
        shift = (curves.centre - nominal).mean(axis=(0, 2))  # of each row, bins and groups together
        self._offsets = np.quantile(shift, np.linspace(0.1, 0.9, BENDS))
        self._floor = curves.floor.mean(axis=1, dtype=np.float64)
        above = means.astype(np.float64) - curves.floor
        self._curve = np.stack([self._pool(positions_um, above[:, :, b], shift) for b in range(len(BINS))])
        self._frequency = np.fft.rfftfreq(self._curve.shape[1], GRID_UM)
        at = np.arange(-self._pitch / 2, self._pitch / 2, 2 * GRID_UM)
        floor = self._floor[:, None]
        flats = np.stack([self._counts(float(x), np.zeros((2, 1)))[..., 0] + floor for x in at])
        self._model = kernels.fit_curves(at, np.ascontiguousarray(flats, np.float32))[0]
        air = self._counts(x0_um, np.zeros((2, 1)))[..., 0] + floor
        self._air = kernels.flat_model(self._model, x0_um, "map").astype(np.float64)
        self._gain = self._air / air

    def _pool(self, at: F64, above: F64, shift: F64) -> F64:
        """All rows and groups on one grid over the period, by linear weights."""
        size = round(self._period / GRID_UM)
        total, weight = np.zeros(size), np.zeros(size)
        for g in range(GROUPS):
            place = np.mod(at[:, None] + self._pitch * g - shift[None, :], self._period) / GRID_UM
            low = np.floor(place).astype(int)
            part = place - low
            for index, share in ((low, 1 - part), (low + 1, part)):
                np.add.at(total, index % size, share * above[:, g])
                np.add.at(weight, index % size, share)
        # A node that only the far end of a sample has touched would repeat its neighbour.
        filled = np.flatnonzero(weight > SEEN * weight.max())
        seen = total[filled] / weight[filled]
        spline = CubicSpline(np.append(filled, filled[0] + size), np.append(seen, seen[0]), bc_type="periodic")
        return np.asarray(spline(np.arange(size)))

    def _counts(self, x_um: float, variance: F64) -> F64:
        """Light above the floor of every group behind a scatterer: (4, 2, BENDS, n) for ``variance`` (2, n)."""
        spectrum = np.where(self._frequency <= FINEST_PER_UM, np.fft.rfft(self._curve), 0.0)
        blur = np.exp(-2 * (np.pi * self._frequency) ** 2 * variance[..., None])
        places = (x_um - self._offsets[:, None] + self._pitch * np.arange(GROUPS)) % self._period
        # Each group's sample point straight from the Fourier series: no interpolation.
        waves = np.exp(2j * np.pi * places[..., None] * self._frequency)
        twice = np.where(self._frequency > 0, 2.0, 1.0)
        series = spectrum[:, None, :] * blur * twice
        return np.asarray(np.einsum("bnf,kgf->gbkn", series, waves).real / self._curve.shape[1])

    def apparent(self, t: F64, dark_field: F64) -> tuple[F64, F64]:
        """t and τ² that the retrieval returns for true ones, (2, n) each.

        Without scatter it returns the truth: what the misfit of the curve does there is in the offset prior already.
        So the model's own samples are taken, and only what the scatter changes comes from the measured curve.
        """
        o = kernels.predict_offset(self._prior, t).astype(np.float64)
        floor = self._model.floor[..., None].astype(np.float64)
        clear = (self._air[..., None] - floor) * t[:, None] + floor * o[:, None]
        change = self._counts(self._x0_um, dark_field) - self._counts(self._x0_um, np.zeros_like(dark_field))
        samples = (clear + self._gain[..., None] * t[:, None] * change) * self._exposure
        found = kernels.retrieve(
            np.ascontiguousarray(samples, np.float32),
            self._model,
            self._x0_um,
            exposure=self._exposure,
            model="map",
            prior=self._prior,
        )
        mean = found.images.mean(axis=2, dtype=np.float64)
        return mean[0], mean[2]

    def true(self, t: F64, dark_field: F64) -> tuple[F64, F64]:
        """True t and τ² for retrieved ones, (2, n) each."""
        true_t, true_dark = t.copy(), dark_field.copy()
        for _ in range(ROUNDS):
            seen_t, seen_dark = self.apparent(true_t, np.maximum(true_dark, 0.0))
            true_t = true_t * t / np.maximum(seen_t, 1e-6)
            true_dark = true_dark + dark_field - np.where(true_dark > 0, seen_dark, true_dark)
        return true_t, true_dark
