"""Made-up optics for the tests of calibration and retrieval: equation (2) in its wrapped form, written out again here.

Nothing of the kernels and nothing of the emulator is used, so that an error there cannot hide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from calibration.build import assemble
from calibration.bundle import Bundle
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner
from kernels.types import IlluminationCurves, OffsetPrior

F64 = npt.NDArray[np.float64]

SCANNER = Scanner(native_rows=32)
X0_UM = -5.0
WIDTH_UM = 12.07
PEAK = np.array([14.0, 10.0])
#: Septa transmission as a fraction of peak + floor, physics.md 2 at 80 kVp.
FLOOR = PEAK * np.array([0.04 / 0.96, 0.32 / 0.68])
#: ln o over ln t of the absorbers used here.
EXPONENT = np.array([0.62, 0.74])
PRIOR = OffsetPrior(np.array([[EXPONENT[0], 0, 0, 0, 0], [0, EXPONENT[1], 0, 0, 0]]) * -1.0, np.array([2e-3, 2e-3]))


@dataclass(frozen=True)
class Sample:
    """What lies in the beam: values per bin (low, high), each broadcast over rows."""

    t: tuple[float, float] = (1.0, 1.0)
    refraction_um: float = 0.0
    dark_field_um2: tuple[float, float] = (0.0, 0.0)

    @property
    def o(self) -> F64:
        return np.asarray(np.asarray(self.t) ** EXPONENT)


AIR = Sample()


def row_shift(rows: int) -> F64:
    """Bent mask: the curve centres drift over the rows, µm."""
    return np.asarray(1.5 * np.sin(np.linspace(0, 3, rows)))


def counts(x0_um: float | F64, sample: Sample = AIR, scanner: Scanner = SCANNER) -> F64:
    """Expected counts of one frame and pixel of unit gain, (4 groups, 2 bins, rows)."""
    rows = scanner.rows
    out = np.empty((GROUPS, 2, rows))
    shift = row_shift(rows) + sample.refraction_um
    for b in range(2):
        variance = WIDTH_UM**2 + sample.dark_field_um2[b]
        for g in range(GROUPS):
            total = np.zeros(rows)
            for i in (g - 1, g, g + 1):
                centre = 75.0 * i + scanner.m1_shifts_um[i % GROUPS] + shift
                total += np.exp(-((x0_um + 75.0 * g - centre) ** 2) / (2 * variance))
            total *= PEAK[b] * WIDTH_UM / np.sqrt(variance)
            out[g, b] = total * sample.t[b] + FLOOR[b] * sample.o[b]
    return out


def true_curves(scanner: Scanner = SCANNER) -> IlluminationCurves:
    """Equation (1) of :func:`counts`."""
    shape = (2, scanner.rows, GROUPS)
    centre = [75.0 * i + scanner.m1_shifts_um[i] for i in range(GROUPS)]
    area = np.broadcast_to((PEAK * WIDTH_UM * np.sqrt(2 * np.pi))[:, None, None], shape)
    centres = np.broadcast_to(np.asarray(centre) + row_shift(scanner.rows)[:, None], shape)
    floor = np.broadcast_to(FLOOR[:, None], shape[:2])
    return IlluminationCurves(
        *(np.ascontiguousarray(a, dtype=np.float32) for a in (area, centres, np.full(shape, WIDTH_UM), floor))
    )


def gains(seed: int = 5, scanner: Scanner = SCANNER) -> F64:
    """Gain of every pixel, (2, rows, columns)."""
    return np.asarray(np.random.default_rng(seed).normal(1.0, 0.03, (1, scanner.rows, COLUMNS)).repeat(2, axis=0))


def pixels(x0_um: float, sample: Sample = AIR, scanner: Scanner = SCANNER) -> F64:
    """Expected counts of every pixel, (2, rows, columns), gains included."""
    per_group = counts(x0_um, sample, scanner)
    return np.moveaxis(per_group[np.arange(COLUMNS) % GROUPS], 0, -1) * gains(scanner=scanner)


def bundle(created_ns: int | None = None, scanner: Scanner = SCANNER) -> Bundle:
    """A perfect calibration of the synthetic scanner."""
    good = np.ones((2, scanner.rows, COLUMNS), np.uint8)
    good[:, 3, 17] = 0
    return assemble(
        scanner,
        curves=true_curves(scanner),
        curves_paper=true_curves(scanner),
        flat=pixels(X0_UM, scanner=scanner).astype(np.float32),
        good=good,
        prior=PRIOR,
        working_point_um=X0_UM,
        created_ns=created_ns,
    )
