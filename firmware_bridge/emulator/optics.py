"""The scanner's illumination curve and its two beams, from geometry and spectra (physics.md sections 2 and 3).

Everything about positions is expressed at M1. The curve of one aperture is the convolution of the M1 aperture, the
M2 aperture projected on M1 and the projected focal spot; a Gaussian of variance τ² (dark-field) joins the focal spot.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from firmware_bridge.emulator.materials import energies_kev, table
from firmware_bridge.scanner import GROUPS, Scanner

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: FWHM of a Gaussian in units of its σ.
FWHM = float(np.sqrt(8.0 * np.log(2.0)))
#: Table of the curve: step in x, µm; step of ln(1 + τ²/TAU2_SCALE); largest τ², µm².
X_STEP_UM, TAU2_STEP, TAU2_SCALE, TAU2_MAX = 0.25, 0.03, 145.0, 8_000.0


def aperture_curve(scanner: Scanner, x_um: F64, tau2_um2: float | F64 = 0.0) -> F64:
    """Fraction of the open beam that passes both masks with M1 displaced by ``x_um``; broadcasts."""
    ratio = scanner.source_m1_m / scanner.source_m2_m
    spot = scanner.focal_spot_um / FWHM * (1.0 - ratio)
    sigma = np.sqrt(spot**2 + np.asarray(tau2_um2, dtype=np.float64))
    width1, width2 = scanner.m1_aperture_um, scanner.m2_aperture_um * ratio

    def integral(x: F64) -> F64:
        """Second integral of the Gaussian."""
        z = x / sigma
        density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
        return np.asarray(x * ndtr(z) + sigma * density)

    far, near = 0.5 * (width1 + width2), 0.5 * (width1 - width2)
    boxes = integral(x_um + far) - integral(x_um + near) - integral(x_um - near) + integral(x_um - far)
    return np.asarray(boxes / (scanner.m2_period_um * ratio))


def group_curve(scanner: Scanner, x_um: F64, tau2_um2: float | F64 = 0.0) -> F64:
    """Curves of the four groups side by side on one axis of period GROUPS·p; group g is centred at g·p + d_g.

    ``x_um`` within one period from 0; the images one period to either side are included.
    """
    period = GROUPS * scanner.m1_period_um
    total = np.zeros(np.broadcast(x_um, tau2_um2).shape)
    for group, shift in enumerate(scanner.m1_shifts_um):
        centre = group * scanner.m1_period_um + shift
        for image in (-1, 0, 1):
            total = total + aperture_curve(scanner, x_um - centre - image * period, tau2_um2)
    return total


@dataclass(frozen=True, eq=False)
class Beams:
    """Energy weights of the two beams on :func:`firmware_bridge.emulator.materials.energies_kev`.

    ``aperture``, ``septum``: (2, n_energies), each bin normalised to 1. ``peak``: counts per mAs and native pixel
    per unit of the illumination curve; ``floor``: of the septum beam. ``open_beam``: without masks; all (2,).
    """

    aperture: F64
    septum: F64
    peak: F64
    floor: F64
    open_beam: F64


@lru_cache(maxsize=8)
def beams(scanner: Scanner) -> Beams:
    """Split the open spectrum into light through both apertures and light that crossed gold.

    With septum transmission T, the masks pass T² + T (1−T) (f1 + f2) + (1−T)² · curve, f being open fractions.
    """
    columns = table("spectra.csv")
    spectrum = np.stack([columns[f"{name}_{scanner.tube_kv}"] for name in ("low", "high")])
    gold = columns["septum"]
    f1 = scanner.m1_aperture_um / scanner.m1_period_um
    f2 = scanner.m2_aperture_um / scanner.m2_period_um
    aperture = spectrum * (1.0 - gold) ** 2
    septum = spectrum * (gold**2 + gold * (1.0 - gold) * (f1 + f2))
    peak, floor = aperture.sum(axis=1), septum.sum(axis=1)
    return Beams(aperture / peak[:, None], septum / floor[:, None], peak, floor, spectrum.sum(axis=1))


@lru_cache(maxsize=4)
def curve_table(scanner: Scanner) -> F32:
    """:func:`group_curve` tabulated over one period, end included.

    Row i: τ² = TAU2_SCALE (exp(i TAU2_STEP) − 1); column j: x = j X_STEP_UM.
    """
    n_tau = int(np.ceil(np.log1p(TAU2_MAX / TAU2_SCALE) / TAU2_STEP)) + 1
    tau2: F64 = TAU2_SCALE * np.expm1(np.arange(n_tau, dtype=np.float64) * TAU2_STEP)
    x = np.arange(round(GROUPS * scanner.m1_period_um / X_STEP_UM) + 1, dtype=np.float64) * X_STEP_UM
    return np.ascontiguousarray(group_curve(scanner, x[None, :], tau2[:, None]), dtype=np.float32)


@lru_cache(maxsize=8)
def curve_width_um(scanner: Scanner) -> float:
    """σ of the Gaussian that fits the curve of one aperture best (physics.md: 12.07 µm)."""
    x = np.linspace(-37.5, 37.5, 301)
    y = aperture_curve(scanner, x)
    sigma, step = 12.0, 0.5
    for _ in range(60):  # golden-section-like refinement of a smooth single-minimum function

        def misfit(s: float) -> float:
            g = np.exp(-0.5 * (x / s) ** 2)
            return float(np.sum((y - g * (g @ y) / (g @ g)) ** 2))

        sigma = min((sigma - step, sigma, sigma + step), key=misfit)
        step *= 0.8
    return sigma


def energy_weights(scanner: Scanner) -> tuple[F32, F64]:
    """Weights (n, 10) of the native transport on pairs of energies; matrix (n, n_energies) averaging onto the pairs.

    Columns: aperture low, high; the same over E², over E⁴, times ln E over E⁴; septum low, high.
    """
    energy = energies_kev()
    split = beams(scanner)
    pairs = len(energy) // 2
    fine = np.stack(
        [split.aperture[0], split.aperture[1]]
        + [split.aperture[b] / energy**2 for b in (0, 1)]
        + [split.aperture[b] / energy**4 for b in (0, 1)]
        + [split.aperture[b] * np.log(energy) / energy**4 for b in (0, 1)]
        + [split.septum[0], split.septum[1]],
        axis=1,
    )
    coarse = fine[: 2 * pairs].reshape(pairs, 2, -1).sum(axis=1)
    share = (split.aperture.sum(axis=0) + split.septum.sum(axis=0))[: 2 * pairs].reshape(pairs, 2)
    averaging = np.zeros((pairs, len(energy)))
    for i in range(pairs):
        whole = share[i].sum()
        averaging[i, 2 * i : 2 * i + 2] = share[i] / whole if whole > 0 else 0.5
    used = coarse[:, (0, 1, 8, 9)].sum(axis=1) > 1e-7
    return np.ascontiguousarray(coarse[used], dtype=np.float32), averaging[used]


def sample_points_um(scanner: Scanner, x0_um: F64, centre_offsets_um: F64) -> F64:
    """Sample points x_g = x0 + p·g of every group and row on the axis of :func:`group_curve`: (GROUPS, rows).

    ``x0_um``, ``centre_offsets_um``: (rows,).
    """
    groups = np.arange(GROUPS)[:, None] * scanner.m1_period_um
    return np.asarray(x0_um[None, :] + groups - centre_offsets_um[None, :])
