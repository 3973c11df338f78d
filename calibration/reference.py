"""The reference tray's drawing, cut for the field of view of one scanner."""

from __future__ import annotations

from calibration.tray import Plate, Tray
from firmware_bridge.reference_tray import layout, length_mm
from firmware_bridge.scanner import Scanner


def reference_tray(scanner: Scanner) -> Tray:
    """The absorbers that ``scanner`` sees, named by their layers."""
    height_mm = scanner.rows * scanner.row_pitch_um / 1e3
    plates = []
    for absorber in layout(height_mm):
        name = " + ".join(f"{thickness:g} mm {material}" for material, thickness in absorber.layers)
        plates.append(Plate(name, (absorber.u0_mm, absorber.u1_mm), (absorber.y0_mm, absorber.y1_mm)))
    return Tray(length_mm(height_mm), tuple(plates))
