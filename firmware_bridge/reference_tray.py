"""Layout of the reference absorber tray: absorbers without grains, from which calibration learns o(t).

The tray is a real thing in a drawer beside the scanner; this file is its drawing. Its leading edge is the first
absorber's edge minus :data:`EDGE_MM`. The layout fills the height of the field in as many bands as fit.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Free belt before the first and after the last absorber, mm.
EDGE_MM = 3.0
#: Free space between neighbouring absorbers, mm.
GAP_MM = 1.0
#: Smallest height of one band, mm; shorter fields get a single band as high as the field.
BAND_MM = 12.0

#: Layers (material, mm) of each absorber. Plastics and aluminium span low densities, steel and copper high ones; the
#: pairs are the mixtures of bags.
ABSORBERS: tuple[tuple[tuple[str, float], ...], ...] = (
    (("acrylic", 2.0),), (("acrylic", 5.0),), (("acrylic", 10.0),), (("acrylic", 20.0),), (("acrylic", 40.0),),
    (("PE", 5.0),), (("PE", 15.0),), (("PE", 30.0),),
    (("water", 10.0),), (("water", 25.0),),
    (("Al", 0.5),), (("Al", 1.0),), (("Al", 2.0),), (("Al", 4.0),), (("Al", 7.0),), (("Al", 12.0),),
    (("glass", 1.0),), (("glass", 3.0),),
    (("steel", 0.1),), (("steel", 0.2),), (("steel", 0.4),), (("Cu", 0.1),),
    (("acrylic", 10.0), ("Al", 1.0)), (("acrylic", 10.0), ("Al", 3.0)),
    (("acrylic", 20.0), ("steel", 0.1)), (("PE", 15.0), ("Al", 2.0)),
    (("PE", 20.0), ("steel", 0.2)), (("acrylic", 30.0), ("Al", 2.0)), (("water", 15.0), ("glass", 1.0)),
    (("acrylic", 40.0), ("Al", 4.0)),
)  # fmt: skip


@dataclass(frozen=True)
class Region:
    """One absorber: ``layers`` (material, mm) and its box, mm from the tray's leading edge and the field's top."""

    layers: tuple[tuple[str, float], ...]
    u0_mm: float
    u1_mm: float
    y0_mm: float
    y1_mm: float


def layout(field_height_mm: float) -> tuple[Region, ...]:
    """Regions of the tray in a field of this height. ValueError when the height is not positive."""
    if field_height_mm <= 0:
        raise ValueError(f"field_height_mm = {field_height_mm}: needs the height of the field of view, > 0")
    bands = max(1, min(4, int(field_height_mm // BAND_MM)))
    per_band = -(-len(ABSORBERS) // bands)
    # Tall fields get comfortable squares; a single low band gets narrow strips so that the tray stays short.
    width = {1: 3.6, 2: 8.0, 3: 9.0, 4: 12.0}[bands]
    height = field_height_mm / bands
    regions = []
    for index, layers in enumerate(ABSORBERS):
        # Deal the absorbers out in turn, so that every band holds thin and thick ones of every kind.
        column, band = divmod(index, bands)
        u0 = EDGE_MM + column * (width + GAP_MM)
        top = band * height
        margin = 0.5 * GAP_MM if bands > 1 else 0.0
        regions.append(Region(layers, u0, u0 + width, top + margin, top + height - margin))
    assert max(region.u1_mm for region in regions) <= EDGE_MM + per_band * (width + GAP_MM)
    return tuple(regions)


def length_mm(field_height_mm: float) -> float:
    """Length of the tray along the belt, mm."""
    return max(region.u1_mm for region in layout(field_height_mm)) + EDGE_MM
