"""Dark-field texture: grains make τ² vary from pixel to pixel (physics.md section 3).

Per pixel of the 75 µm detector the relative variance is A + B / N_win: A is a floor set by grain size, N_win the
number of grains that the pixel's column of material holds. Grains larger than a pixel make neighbours alike.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from firmware_bridge.emulator.materials import Material

F32 = npt.NDArray[np.float32]

#: Pixel at M1 for which the law was measured, µm, and the law's constants.
PIXEL_UM = 75.0
FLOOR, FLOOR_GRAIN_UM, SHOT = 0.027, 42.0, 1.4
#: The lognormal stand-in for sums of grains is kept from having tails that no pile of grains has.
LARGEST_VARIANCE = 1.0


def relative_variance(material: Material, thickness_um: float) -> float:
    """Relative variance of τ² between native pixels behind ``thickness_um`` of the material."""
    if material.grain_contrast == 0 or thickness_um <= 0:
        return 0.0
    grain = material.grain_um
    floor = FLOOR * (1.0 - np.exp(-((grain / FLOOR_GRAIN_UM) ** 2)))
    count = material.grain_fraction * (PIXEL_UM + grain) ** 2 * thickness_um / (np.pi * grain**3 / 6.0)
    return float(min(floor + SHOT / count, LARGEST_VARIANCE))


def texture(
    material: Material,
    thickness_um: float,
    shape: tuple[int, int],
    du_um: float,
    row_um: float,
    rng: np.random.Generator,
) -> F32 | None:
    """Factor of mean 1 on τ² for a window of ``shape`` (u, rows), or None for a homogeneous material.

    Cells larger than the native pixel (binned rows) average independent pixels; grains larger than a cell correlate it.
    """
    variance = relative_variance(material, thickness_um)
    if variance == 0.0:
        return None
    patch = max(PIXEL_UM, material.grain_um)
    variance /= max(1.0, row_um / patch) * max(1.0, du_um / patch)
    field = rng.standard_normal(shape, dtype=np.float32)
    sigma = (material.grain_um / du_um / 2.355, material.grain_um / row_um / 2.355)
    if max(sigma) > 0.5:
        field = gaussian_filter(field, sigma, mode="wrap", truncate=3.0)
        field /= max(float(field.std()), 1e-6)
    spread = np.float32(np.sqrt(np.log1p(variance)))
    return np.asarray(np.exp(spread * field - 0.5 * spread * spread), dtype=np.float32)
