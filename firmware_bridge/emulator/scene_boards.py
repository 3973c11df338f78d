"""Circuit boards, batteries and screens: what electrical items share."""

from __future__ import annotations

import numpy as np

from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_shapes import Box, Cells, Ellipse, Rod, polyline
from firmware_bridge.emulator.scene_wires import Rng


def board(rng: Rng, u: float, y: float, w: float, h: float, chips: int, small: int) -> list[Part]:
    """A populated circuit board: laminate, copper planes, chips with their lead frames, passives and solder."""
    parts = [
        Part("FR4", 0.9, Box(u, y, w, h, 0.0, 2.0)),
        Part("Cu", 0.03, Cells(Box(u, y, 0.96 * w, 0.94 * h), 7.0, 5.0, 0.8, 0.75)),
    ]
    for _ in range(chips):
        a, b = rng.uniform(3.0, 13.0), rng.uniform(3.0, 13.0)
        if a > 0.6 * w or b > 0.6 * h:
            continue
        cu = u + rng.uniform(-0.5, 0.5) * (w - a - 2)
        cy = y + rng.uniform(-0.5, 0.5) * (h - b - 2)
        parts += [
            Part("FR4", 0.8, Box(cu, cy, a, b)),
            Part("Si", 0.4, Box(cu, cy, 0.6 * a, 0.6 * b)),
            Part("solder", 0.12, Cells(Box(cu, cy, a + 1.6, b + 1.6), 1.3, 1.3, 0.4, 0.4)),
        ]
    for _ in range(small):
        a, b = rng.uniform(0.6, 2.4), rng.uniform(0.6, 1.6)
        material, thickness = [("solder", 0.2), ("glass", 0.8), ("Al", 1.2), ("ferrite", 1.0), ("steel", 0.25)][
            int(rng.choice(5, p=[0.4, 0.3, 0.12, 0.1, 0.08]))
        ]
        spot = (u + rng.uniform(-0.48, 0.48) * w, y + rng.uniform(-0.46, 0.46) * h)
        parts.append(Part(material, thickness, Box(*spot, a, b)))
    return parts


def cell(u: float, y: float, w: float, h: float, thickness: float) -> list[Part]:
    """A lithium-ion pouch: wound electrodes, foil, tabs."""
    return [
        Part("LiIon", thickness, Box(u, y, w - 3.0, h - 3.0, 0.0, 2.0)),
        Part("Al", 0.25, Box(u, y, w, h, 0.0, 2.5)),
        Part("Cu", 0.1, Box(u - 0.3 * w, y - 0.5 * h - 2.0, 5.0, 6.0)),
        Part("Al", 0.2, Box(u + 0.3 * w, y - 0.5 * h - 2.0, 5.0, 6.0)),
    ]


def screen(u: float, y: float, w: float, h: float, glass: float) -> list[Part]:
    """A display: cover glass, light guide, films and the electronics along one edge."""
    return [
        Part("glass", glass, Box(u, y, w, h, 0.0, 3.0)),
        Part("acrylic", 1.4, Box(u, y, w - 6.0, h - 6.0)),
        Part("PET", 0.5, Box(u, y, w - 6.0, h - 6.0)),
        Part("Cu", 0.05, Box(u, y + 0.5 * h - 4.0, 0.8 * w, 4.0)),
    ]


def screws(spots: list[tuple[float, float]], radius: float, depth: float) -> list[Part]:
    """Steel screws seen from above."""
    return [Part("steel", depth, Ellipse(u, y, radius, radius)) for u, y in spots]


def fan(u: float, y: float, radius: float) -> list[Part]:
    """A flat blower: rim, blades, motor with its magnet and windings."""
    parts = [
        Part("ABS", 2.4, Ellipse(u, y, radius, radius, hole=0.9)),
        Part("ABS", 1.0, Ellipse(u, y, radius, radius, hole=0.1)),
        Part("ferrite", 2.0, Ellipse(u, y, 0.36 * radius, 0.36 * radius, hole=0.75)),
        Part("Cu", 0.8, Ellipse(u, y, 0.26 * radius, 0.26 * radius, hole=0.45)),
        Part("steel", 4.0, Ellipse(u, y, 1.2, 1.2)),
    ]
    for a in np.linspace(0.0, 2.0 * np.pi, 15)[:-1]:
        ends = [
            (u + k * radius * np.cos(a + 0.5 * k), y + k * radius * np.sin(a + 0.5 * k)) for k in (0.42, 0.64, 0.86)
        ]
        parts.append(Part("ABS", 2.4, Rod(polyline(ends), 0.6)))
    return parts


def target_slab(material: str, thickness: float, box: Box) -> list[Part]:
    """A target pressed into a cavity, wrapped in film; the labelled part."""
    film = Box(box.u, box.y, box.w + 1.5, box.h + 1.5, box.angle, box.corner)
    return [Part("PE", 0.2, film), Part(material, thickness, box, "target")]
