"""Forward model: from the material in the beam to the mean counts of every group (physics.md section 3).

A :class:`Canvas` collects, on a fine grid (belt coordinate u × rows), the few maps that the physics needs, however
many objects a scene has. Sums over the spectrum are taken per pixel by the native transport, so beam hardening of
t, o, Δ and τ² is included; the mixture of energies enters the illumination curve through its mean shift and variance.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from firmware_bridge.emulator import _native, optics
from firmware_bridge.emulator.alignment import Alignment, aligned
from firmware_bridge.emulator.materials import BASIS, DELTA, Material, attenuation_basis
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.emulator.texture import texture
from firmware_bridge.scanner import GROUPS, Scanner

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: Maps of a canvas after the attenuation basis: scatter P and Q (τ² E⁴ = P + Q ln E), electrons · mm.
SCATTER, SCATTER_LOG, ELECTRONS = BASIS, BASIS + 1, BASIS + 2
#: Place of τ² in the true images.
TAU2 = 2
#: Grid lines of u handled together: bounds memory.
CHUNK = 128
#: λ = HC / E in µm keV.
HC_UM_KEV = 1.23984e-3


def lever_um_per_urad(scanner: Scanner, settings: EmulatorSettings) -> float:
    """Λ of the plane where the objects really lie."""
    shifted = scanner.source_object_m + settings.plane_offset_mm / 1e3
    return (scanner.source_m2_m - shifted) / (scanner.source_m2_m / scanner.source_m1_m)


class Canvas:
    """Maps of one scene: (n_u, BASIS + 3, rows) float32; line k of u lies at ``u0_um + k du_um``."""

    def __init__(self, scanner: Scanner, settings: EmulatorSettings, u0_um: float, n_u: int) -> None:
        self.scanner = scanner
        self.u0_um = u0_um
        self.du_um = settings.fine_grid_um
        self.lever = lever_um_per_urad(scanner, settings)
        self.maps: F32 = np.zeros((n_u, BASIS + 3, scanner.rows), dtype=np.float32)
        wavelength_scale = HC_UM_KEV * self.lever * 1e6 / (2.0 * math.pi * optics.curve_width_um(scanner))
        self._log_correlation_um_kev = math.log(wavelength_scale)

    def u_mm(self) -> F64:
        """Belt coordinates of the grid lines, mm from the leading edge."""
        return np.asarray((self.u0_um + self.du_um * np.arange(self.maps.shape[0])) / 1e3)

    def y_mm(self) -> F64:
        """Heights of the row centres, mm from the top of the field."""
        return np.asarray((np.arange(self.scanner.rows) + 0.5) * self.scanner.row_pitch_um / 1e3)

    def add(
        self, material: Material, thickness_mm: F32, u_first: int, row_first: int, rng: np.random.Generator | None
    ) -> None:
        """Add ``thickness_mm`` (u, rows) of one material with its first cell at (u_first, row_first).

        ``rng`` None leaves the texture out. The window must lie inside the canvas.
        """
        window = self.maps[u_first : u_first + thickness_mm.shape[0], :, row_first : row_first + thickness_mm.shape[1]]
        coefficients = attenuation_basis()[1][material.name]
        for k in range(BASIS):
            window[:, k] += np.float32(coefficients[k]) * thickness_mm
        window[:, ELECTRONS] += np.float32(material.electrons) * thickness_mm
        if material.grain_contrast == 0:
            return
        scatter = np.float32(material.scatter_per_mm(self.lever)) * thickness_mm
        if rng is not None:
            filled = thickness_mm[thickness_mm > 0]
            typical_um = float(np.median(filled)) * 1e3 if filled.size else 0.0
            factor = texture(
                material,
                typical_um,
                (thickness_mm.shape[0], thickness_mm.shape[1]),
                self.du_um,
                self.scanner.row_pitch_um,
                rng,
            )
            if factor is not None:
                scatter *= factor
        log_grain = math.log(2.0 * material.grain_um) - self._log_correlation_um_kev
        window[:, SCATTER] += np.float32(log_grain) * scatter
        window[:, SCATTER_LOG] += scatter

    def images(self, first: int = 0, last: int | None = None) -> F32:
        """True t, Δ, τ², o of the bins: (n_u, 2, 4, rows) for the grid lines first … last − 1."""
        n_u = self.maps.shape[0]
        last = n_u if last is None else last
        chunk = self.maps[first:last].copy()
        # Δ = Λ d/dx ∫δ dz, and x runs against u. Central differences, one-sided at the ends.
        ahead = self.maps[np.minimum(np.arange(first, last) + 1, n_u - 1), ELECTRONS]
        behind = self.maps[np.maximum(np.arange(first, last) - 1, 0), ELECTRONS]
        slope = (ahead - behind) * np.float32(0.5e3 / self.du_um)
        chunk[:, ELECTRONS] = slope * np.float32(-self.lever * DELTA * 1e6)
        basis, weights = _energy_tables(self.scanner)
        out = np.empty((last - first, 2, 4, self.scanner.rows), dtype=np.float32)
        _native.moments(chunk, basis, weights, out)
        return out


@lru_cache(maxsize=4)
def _energy_tables(scanner: Scanner) -> tuple[F32, F32]:
    weights, averaging = optics.energy_weights(scanner)
    basis = np.ascontiguousarray(averaging @ attenuation_basis()[0], dtype=np.float32)
    return basis, weights


def centre_offsets_um(scanner: Scanner, settings: EmulatorSettings) -> F64:
    """Where the illumination curves of each row are centred, beyond d_g: (rows,) µm.

    Both masks are three joined segments, and neither is perfectly straight.
    """
    rng = np.random.default_rng([settings.seed, 1])
    steps = rng.normal(0.0, settings.mask_segment_um, 3)
    phases = rng.uniform(0.0, 2.0 * np.pi, 2)
    where = (np.arange(scanner.rows) + 0.5) / scanner.rows
    segment = steps[np.minimum((where * 3).astype(int), 2)]
    slow = 0.7 * np.sin(2.0 * np.pi * where + phases[0]) + 0.3 * np.sin(6.0 * np.pi * where + phases[1])
    return np.asarray(segment - steps.mean() + settings.mask_drift_um * slow)


def exposure_mas(scanner: Scanner) -> float:
    """mAs of one frame times the native rows summed in one row: counts per frame-pixel per unit of the tables."""
    return scanner.tube_ma / scanner.frame_rate_hz * scanner.row_binning


def expected_counts(
    scanner: Scanner, settings: EmulatorSettings, images: F32, masks: Alignment | float, out: F32, u0: int = 0
) -> None:
    """Mean counts per frame-pixel of unit gain behind ``images`` (n_u, 2, 4, rows).

    Written to ``out[:, u0 : u0 + n_u]``, out being (2, ≥ u0 + n_u, 4, rows). ``masks``: how they stand, or x0 in µm.
    """
    masks = aligned(masks)
    x_rows = optics.sample_points_um(scanner, masks.centres_um(scanner), centre_offsets_um(scanner, settings))
    wider = masks.variance_um2(scanner)
    if wider.any():
        images = images.copy()
        images[:, :, TAU2] += wider.astype(np.float32)
    if not settings.mask_1:
        images = images.copy()
        images[:, :, TAU2] = optics.TAU2_MAX
    x_rows = np.mod(x_rows, GROUPS * scanner.m1_period_um)
    split = optics.beams(scanner)
    exposure = exposure_mas(scanner)
    # Without M1 as much light comes everywhere as through a single aperture of M2 with all of M1 open.
    through = 1.0 if settings.mask_1 else scanner.m1_aperture_um / scanner.m1_period_um
    _native.expected(
        images,
        optics.curve_table(scanner),
        optics.TAU2_SCALE,
        optics.TAU2_STEP,
        optics.X_STEP_UM,
        np.ascontiguousarray(x_rows, dtype=np.float32),
        np.asarray(split.peak * exposure / through, dtype=np.float32),
        np.asarray(split.floor * exposure, dtype=np.float32),
        out,
        u0,
    )


def canvas_counts(canvas: Canvas, settings: EmulatorSettings, masks: Alignment | float) -> F32:
    """Mean counts of a whole canvas: (2, n_u, 4, rows) float32."""
    scanner = canvas.scanner
    n_u = canvas.maps.shape[0]
    out = np.empty((2, n_u, GROUPS, scanner.rows), dtype=np.float32)
    for first in range(0, n_u, CHUNK):
        last = min(first + CHUNK, n_u)
        expected_counts(scanner, settings, canvas.images(first, last), masks, out, first)
    return out
