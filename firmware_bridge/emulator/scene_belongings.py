"""What is in pockets and bags besides toiletries: the other clutter of the paper, and some more.

Every function returns the parts of one thing, centred at (u, y), turned by ``angle``; ``rng`` varies its size.
"""

from __future__ import annotations

from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_shapes import Box, Cells, Cloth, Ellipse
from firmware_bridge.emulator.scene_wires import Rng, along, bar, wire


def sewing_kit(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Needles, safety pins, small scissors and thread in a box."""
    parts = [Part("ABS", 2.0, Box(u, y, 64.0, 44.0, angle, 4.0))]
    for across in (-16.0, -13.0, -10.5):
        (centre,) = along(u, y, angle, (-6.0, across))
        parts.append(bar("steel", *centre, angle + rng.uniform(-0.1, 0.1), 38.0, 0.4))
    for turn in (-0.16, 0.16):
        (centre,) = along(u, y, angle, (2.0, 4.0))
        parts.append(Part("steel", 1.1, Box(*centre, 50.0, 4.0, angle + turn, 1.5)))
        (ring,) = along(u, y, angle + turn, (-26.0, 5.0))
        parts.append(Part("steel", 1.2, Ellipse(*ring, 8.0, 6.0, angle, hole=0.65)))
    for spool in (-22.0, 0.0, 22.0):
        (centre,) = along(u, y, angle, (spool, 16.0))
        parts.append(Part("cotton", 8.0, Ellipse(*centre, 6.0, 5.0, angle, hole=0.3)))
    return parts


def earphones(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Earphones with a tangled wire."""
    parts = wire(rng, u, y, rng.uniform(16.0, 24.0), 3)
    for across in (-12.0, 10.0):
        (bud,) = along(u, y, angle, (20.0, across))
        parts += [
            Part("ABS", 9.0, Ellipse(*bud, 7.0, 6.0, angle, dome=True)),
            Part("ferrite", 1.6, Ellipse(*bud, 3.2, 3.2)),
            Part("Cu", 0.4, Ellipse(*bud, 4.4, 4.4, hole=0.75)),
        ]
    return parts


def gum(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Chewing gum, seven sticks in foil and paper."""
    return [
        Part("sugar", 9.0, Cells(Box(u, y, 70.0, 19.0, angle, 1.0), 75.0, 2.7, 1.0, 0.8)),
        Part("paper", 0.5, Box(u, y, 72.0, 20.0, angle, 1.0)),
        Part("Al", 0.05, Box(u, y, 72.0, 20.0, angle, 1.0)),
    ]


def charger(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A plug-in charger: board, transformer, capacitors, prongs and its lead."""
    (core, big, prong1, prong2) = along(u, y, angle, (-6.0, 2.0), (10.0, -8.0), (30.0, -6.0), (30.0, 6.0))
    parts = [
        Part("ABS", 4.6, Box(u, y, 46.0, 40.0, angle, 5.0)),
        Part("FR4", 1.4, Box(u, y, 38.0, 32.0, angle)),
        Part("ferrite", 9.0, Box(*core, 14.0, 12.0, angle, 1.0)),
        Part("Cu", 1.6, Cells(Box(*core, 9.0, 16.0, angle), 1.0, 99.0, 0.7, 1.0)),
        Part("Al", 5.0, Ellipse(*big, 5.0, 5.0)),
        Part("steel", 1.6, Box(*prong1, 18.0, 5.0, angle)),
        Part("steel", 1.6, Box(*prong2, 18.0, 5.0, angle)),
    ]
    for _ in range(14):
        (spot,) = along(u, y, angle, (rng.uniform(-17, 17), rng.uniform(-14, 14)))
        parts.append(Part("solder", 0.25, Box(*spot, rng.uniform(1.0, 2.6), rng.uniform(1.0, 2.0), angle)))
    return parts


def keys(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A ring with three keys."""
    parts = [Part("steel", 2.0, Ellipse(u, y, 12.0, 12.0, hole=0.86))]
    for k in range(3):
        turn = angle + 0.7 * k + rng.uniform(-0.2, 0.2)
        (bow, blade, tooth) = along(u, y, turn, (20.0, 0.0), (42.0, 0.0), (46.0, 2.5))
        parts += [
            Part("steel", 2.0, Ellipse(*bow, 11.0, 9.0, turn, hole=0.3)),
            Part("steel", 2.0, Box(*blade, 28.0, 5.0, turn)),
            Part("steel", 2.0, Cells(Box(*tooth, 18.0, 3.0, turn), 4.0, 99.0, 0.55, 1.0)),
        ]
    return parts


def coins(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Some coins."""
    return [
        Part("Cu", rng.uniform(1.4, 2.2), Ellipse(u + rng.uniform(-16, 16), y + rng.uniform(-12, 12), r, r))
        for r in rng.uniform(8.0, 12.5, 4)
    ]


def pen(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A ball pen with a steel spring and clip."""
    (tip, clip) = along(u, y, angle, (58.0, 0.0), (-45.0, 4.0))
    return [
        bar("ABS", u, y, angle, 135.0, 5.0, 0.75),
        bar("PE", u, y, angle, 105.0, 1.5, 0.6),
        Part("steel", 0.8, Cells(Box(*tip, 18.0, 4.0, angle), 1.6, 99.0, 0.5, 1.0)),
        Part("steel", 0.6, Box(*clip, 38.0, 3.0, angle, 1.0)),
    ]


def bottle(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A small PET bottle of water."""
    (neck,) = along(u, y, angle, (58.0, 0.0))
    r = rng.uniform(15.0, 19.0)
    return [
        bar("PET", u, y, angle, 90.0, r, 0.97),
        bar("water", *along(u, y, angle, (-10.0, 0.0))[0], angle, 66.0, 0.96 * r),
        bar("PE", *neck, angle, 14.0, 8.0, 0.8),
    ]


def wallet(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A leather wallet with cards and notes."""
    return [
        Part("leather", 6.0, Box(u, y, 92.0, 68.0, angle, 4.0)),
        Part("PVC", 2.3, Box(u - 2, y + 3, 85.0, 54.0, angle, 3.0)),
        Part("paper", 1.2, Box(u + 1, y - 4, 82.0, 60.0, angle)),
        Part("Si", 0.2, Box(*along(u, y, angle, (-24.0, 2.0))[0], 11.0, 11.0, angle, 1.0)),
    ]


def notebook(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A paper notebook with a wire binding."""
    (back,) = along(u, y, angle, (0.0, -36.0))
    return [
        Part("paper", rng.uniform(4.0, 9.0), Box(u, y, 96.0, 68.0, angle, 1.0)),
        Part("steel", 0.9, Cells(Box(*back, 92.0, 7.0, angle), 5.0, 99.0, 0.22, 1.0)),
    ]


def shirt(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Folded clothes."""
    w, h = rng.uniform(70.0, 120.0), rng.uniform(60.0, 100.0)
    return [
        Part(
            "cotton",
            rng.uniform(10.0, 26.0),
            Cloth(Box(u, y, w, h, angle, 14.0), 0.4, 26.0, int(rng.integers(1 << 30))),
        ),
        *(Part("ABS", 2.0, Ellipse(*along(u, y, angle, (k * 16.0, 4.0))[0], 5.0, 5.0, hole=0.25)) for k in (-1, 0, 1)),
    ]
