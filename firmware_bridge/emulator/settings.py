"""The emulator's own table ``[emulator]``: everything about the simulated scanner that no service may read."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from firmware_bridge.scanner import Scanner


class EmulatorSettings(BaseModel):
    """Imperfections and pace of the emulated scanner (TOML table ``[emulator]``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(1, ge=0, description="of the scanner itself: noise, gains, dead and hot pixels, mask offsets")
    dead_pixels: float = Field(0.0005, ge=0, le=1, description="fraction of detector pixels that never count")
    hot_pixels: float = Field(0.0002, ge=0, le=0.2, description="fraction of detector pixels that count without light")
    hot_counts: float = Field(400.0, ge=0, le=60_000, description="mean counts per frame of a hot pixel")
    gain_spread: float = Field(0.03, ge=0, le=0.3, description="1-σ spread of pixel gains (column part and pixel part)")
    mask_segment_um: float = Field(
        1.5, ge=0, le=10, description="1-σ offset between the three joined mask segments, µm"
    )
    mask_drift_um: float = Field(
        2.0, ge=0, le=10, description="amplitude of the slow drift of the curve centres over rows, µm"
    )
    misalignment_x_um: float = Field(0.0, ge=-500, le=500, description="M1 stands so far beside its stage's zero, µm")
    misalignment_z_um: float = Field(0.0, ge=-500, le=500, description="the same along the beam, µm")
    misalignment_rot_z_mrad: float = Field(0.0, ge=-20, le=20, description="M1 is turned about the beam, mrad")
    misalignment_rot_x_mrad: float = Field(0.0, ge=-20, le=20, description="M1 is tilted about the belt's axis, mrad")
    mask_1: bool = Field(True, description="false: nobody has put the sample mask M1 in")
    shutter: bool = Field(True, description="false: the shutter of the tube stays closed, whatever the generator says")
    voltage: float = Field(1.0, gt=0, le=1.5, description="part of the tube voltage asked for that the generator gives")
    broken: tuple[str, ...] = Field(
        (), description="faults from the start, each 'device fault' or 'device fault value'"
    )
    tube_on: bool = Field(False, description="x-rays are on from the start, without a command of the lane")
    tube_drift_per_min: float = Field(0.0, ge=-0.5, le=0.5, description="relative change of the tube output per minute")
    tube_drift_per_bag: float = Field(
        0.0, ge=-0.1, le=0.1, description="change of the tube output with every bag put on the belt, of the nominal one"
    )
    mask_drift_um_per_bag: float = Field(
        0.0,
        ge=-5,
        le=5,
        description="M1 moves by so much with every bag put on the belt, unseen by its stage, µm",
    )
    plane_offset_mm: float = Field(
        0.0, ge=-200, le=200, description="objects lie this far behind the nominal plane, mm"
    )
    fine_grid_um: float = Field(75.0, gt=0, le=150, description="grid along the belt on which scenes are prepared, µm")
    bag_gap_mm: float = Field(40.0, ge=0, le=5000, description="free belt between the end of one bag and the next, mm")
    time_scale: float = Field(1.0, gt=0, le=100, description="frames are sent this many times faster than real time")


def field_height_mm(scanner: Scanner) -> float:
    """Height of the field of view in the plane of the objects, mm."""
    return scanner.rows * scanner.row_pitch_um / 1e3
