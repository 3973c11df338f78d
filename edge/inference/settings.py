"""Every length, tolerance and limit of the material discriminator, in one table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Lengths in mm so that one table serves every grid; attenuation is −ln t, dark-field τ² in µm² at M1."""

    #: Pixels are averaged to blocks of about this size before anything else.
    block_mm: float = 0.6
    #: A block needs this fraction of usable pixels.
    min_good: float = 0.5
    #: Low-bin attenuation that tells object from air.
    object_attenuation: float = 0.03
    #: Transmission below which a block is too dense to judge (either bin).
    opaque_transmission: float = 0.03
    #: Standard deviation of the smoothing before edges are sought, blocks.
    smooth_blocks: float = 1.0
    #: Edge strength (noise and tolerance units per block) from which a block is an edge and belongs to no region.
    edge: float = 5.0
    #: Regions of fewer blocks are noise within the region around them.
    speck_blocks: int = 12
    #: Two regions are one object when they differ by less than noise and these tolerances allow
    #: (absolute + fraction), in units of which ``merge_distance`` is given.
    merge_attenuation: tuple[float, float] = (0.005, 0.03)
    merge_dark_field: tuple[float, float] = (1.0, 0.08)
    merge_distance: float = 3.0
    #: A region of which less than this share is more than one block from its border is a rim or a wall.
    min_core: float = 0.25
    #: Width of the surrounding ring that serves as background, and of the border left out, mm.
    ring_mm: float = 6.0
    border_mm: float = 0.7
    #: Share of the ring that an adjacent region must hold to count as a background.
    ring_share: float = 0.15
    #: Blocks that vary together in clutter: divides the number of independent blocks of a region and of a ring.
    region_correlation: float = 4.0
    ring_correlation: float = 16.0
    #: 1-σ of what a background may change behind the object: absolute + fraction, attenuation and dark-field.
    background_attenuation: tuple[float, float] = (0.002, 0.02)
    background_dark_field: tuple[float, float] = (0.3, 0.05)
    #: Smallest attenuation step against the background that can be judged (low bin).
    min_step: float = 0.04
    #: A bag is clipped when this attenuation is met on the outermost rows over this length.
    clip_attenuation: float = 0.015
    clip_mm: float = 15.0
    #: Most objects reported per bag.
    max_objects: int = 32


SETTINGS = Settings()
