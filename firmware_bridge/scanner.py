"""Nominal description of one scanner: the constants of the reference set-up, all configurable.

Values marked [P] are printed in the paper (Partridge et al., Methods), [A] are assumptions where the
paper's text is silent. What a particular scanner really does is measured by calibration, never read here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

#: Detector columns, and the number of native rows before binning [P].
COLUMNS = 128
NATIVE_ROWS = 2048
#: Asymmetric mask groups (phases): group g holds the columns c with c mod 4 == g [P].
GROUPS = 4
#: Energy bins, in this order everywhere.
BINS = ("low", "high")


class Scanner(BaseModel):
    """Geometry, tube and detector settings of one scanner (TOML table ``[scanner]``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tube_kv: Literal[80, 120] = Field(80, description="tube voltage, kVp [P]")
    tube_ma: float = Field(1.0, gt=0, le=10, description="tube current, mA")
    focal_spot_um: float = Field(80.0, gt=0, description="focal spot FWHM, µm [P]")
    source_m1_m: float = Field(1.538, gt=0, description="source to sample mask M1, m [A]")
    source_m2_m: float = Field(2.000, gt=0, description="source to detector mask M2, m [A]")
    source_detector_m: float = Field(2.051, gt=0, description="source to detector, m [A]")
    source_object_m: float = Field(1.578, gt=0, description="source to the plane of the belt's objects, m [A]")
    m1_period_um: float = Field(75.0, gt=0, description="mean period of M1, µm [P]")
    m1_aperture_um: float = Field(21.4, gt=0, description="aperture of M1, µm [P]")
    m1_shifts_um: tuple[float, float, float, float] = Field(
        (-10.0, 0.0, 10.0, 20.0), description="shift d_g of the apertures of group g, µm at M1 [P]"
    )
    m2_period_um: float = Field(97.5, gt=0, description="period of M2, µm [P]")
    m2_aperture_um: float = Field(28.0, gt=0, description="aperture of M2, µm [P]")
    row_binning: Literal[1, 2, 4] = Field(4, description="native rows summed into one row by the detector")
    native_rows: int = Field(
        NATIVE_ROWS,
        ge=16,
        le=NATIVE_ROWS,
        multiple_of=16,
        description="native rows read out (a smaller field for tests)",
    )
    frame_rate_hz: float = Field(119.0, gt=0, le=2000, description="detector frames per second [A]")
    belt_speed_mm_s: float = Field(11.7, gt=0, description="belt speed, mm/s")
    encoder_um: float = Field(1.0, gt=0, description="belt travel per encoder count, µm [A]")
    barrier_to_beam_mm: float = Field(
        30.0, gt=0, description="travel from the entry light barrier to column 0's line of sight, mm [A]"
    )
    object_grid_um: float = Field(300.0, ge=75, le=300, description="object grid h along the belt, µm")

    @property
    def rows(self) -> int:
        """Rows of one frame after binning."""
        return self.native_rows // self.row_binning

    @property
    def magnification(self) -> float:
        """m = z_object / z_M1, from the plane of M1 to the plane of the object."""
        return self.source_object_m / self.source_m1_m

    @property
    def row_pitch_um(self) -> float:
        """Height of one (binned) row in the object plane, µm."""
        return self.m1_period_um * self.magnification * self.row_binning

    @property
    def lever_um_per_urad(self) -> float:
        """Λ: shift of the illumination curve at M1 per unit refraction angle in the object plane."""
        return (self.source_m2_m - self.source_object_m) / (self.source_m2_m / self.source_m1_m)

    @property
    def step_um(self) -> float:
        """Belt travel between two frames, µm."""
        return self.belt_speed_mm_s * 1e3 / self.frame_rate_hz

    def row_heights_mm(self) -> tuple[float, ...]:
        """Height of every (binned) row above the middle of the field, at M1, mm (rows,)."""
        pitch_mm = self.m1_period_um * self.row_binning / 1e3
        return tuple((row + 0.5 - self.rows / 2) * pitch_mm for row in range(self.rows))

    def column_offsets_um(self) -> tuple[float, ...]:
        """m (c p + d_g) of every column c: where its line of sight crosses the object plane, µm (COLUMNS,)."""
        m, p = self.magnification, self.m1_period_um
        return tuple(m * (c * p + self.m1_shifts_um[c % GROUPS]) for c in range(COLUMNS))
