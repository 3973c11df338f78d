"""How the two masks stand to each other, in the few numbers that the illumination curves depend on.

All lengths are at M1. With R = z_M2 / z_M1, a row at height y above the middle (at M1), displacements δ and rotations φ
of the masks from perfect alignment:

- centre of the curves: x0 = δx_M1 − δx_M2 / R + (φz_M1 − φz_M2) y;
- pitch of M1 against the shadow of M2: e = (δz_M1 + φx_M1 y) / z_M1 − (δz_M2 + φx_M2 R y) / z_M2. Column c is then off
  by c p e. The emulator knows no single columns; the mean over the detector's width is wider by (128 p)² e² / 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import COLUMNS, NATIVE_ROWS, Scanner

F64 = npt.NDArray[np.float64]
#: Axes of the mask stacks, µm and mrad.
AXES: Final = tuple(f"m{mask}_{axis}" for mask in (1, 2) for axis in ("x", "z", "rot_z", "rot_x"))


class Alignment(NamedTuple):
    """``x0_um`` and pitch mismatch at mid-height, and how they change per mm of height at M1 (1 µm/mm = 1 mrad)."""

    x0_um: float = 0.0
    shear_mrad: float = 0.0
    mismatch: float = 0.0
    mismatch_per_mm: float = 0.0

    @classmethod
    def of(cls, scanner: Scanner, settings: EmulatorSettings, positions: Mapping[str, float]) -> Alignment:
        """Alignment with the stages at ``positions`` (µm, mrad; axes that are left out stand at 0)."""
        at = {axis: positions.get(axis, 0.0) for axis in AXES}
        at["m1_x"] += settings.misalignment_x_um
        at["m1_z"] += settings.misalignment_z_um
        at["m1_rot_z"] += settings.misalignment_rot_z_mrad
        at["m1_rot_x"] += settings.misalignment_rot_x_mrad
        z1_um, z2_um = scanner.source_m1_m * 1e6, scanner.source_m2_m * 1e6
        return cls(
            at["m1_x"] - at["m2_x"] * z1_um / z2_um,
            at["m1_rot_z"] - at["m2_rot_z"],
            at["m1_z"] / z1_um - at["m2_z"] / z2_um,
            (at["m1_rot_x"] - at["m2_rot_x"]) / z1_um,
        )

    def centres_um(self, scanner: Scanner) -> F64:
        """x0 of every row: (rows,) µm."""
        return np.asarray(self.x0_um + self.shear_mrad * heights_mm(scanner))

    def variance_um2(self, scanner: Scanner) -> F64:
        """By how much the curve of every row is wider: (rows,) µm²."""
        mismatch = self.mismatch + self.mismatch_per_mm * heights_mm(scanner)
        return np.asarray((COLUMNS * scanner.m1_period_um * mismatch) ** 2 / 12.0)

    def distance_um(self, other: Alignment, scanner: Scanner) -> float:
        """How far the curves of the two lie apart at most, µm."""
        half_mm = NATIVE_ROWS / 2 * scanner.m1_period_um / 1e3
        half_um = COLUMNS / 2 * scanner.m1_period_um
        x0, shear, mismatch, slope = (abs(mine - its) for mine, its in zip(self, other, strict=True))
        return x0 + half_mm * shear + half_um * (mismatch + half_mm * slope)


def heights_mm(scanner: Scanner) -> F64:
    """Height of every row above the middle of the field, at M1: (rows,) mm."""
    return np.asarray(scanner.row_heights_mm())


def aligned(masks: Alignment | float) -> Alignment:
    """A plain number is the place x0 of M1, µm, with everything else perfect."""
    return masks if isinstance(masks, Alignment) else Alignment(float(masks))
