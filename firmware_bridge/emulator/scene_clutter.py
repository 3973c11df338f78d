"""What people carry: the clutter of the paper's bags (Methods, Sample preparation) and the bags themselves.

Every function returns the parts of one thing, centred at (u, y), turned by ``angle``; ``rng`` varies its size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_shapes import Box, Cells, Cloth, Ellipse, Rod, polyline

Rng = np.random.Generator
Maker = Callable[[Rng, float, float, float], list[Part]]


def _along(u: float, y: float, angle: float, *offsets: tuple[float, float]) -> list[tuple[float, float]]:
    """Points at (along, across) offsets from (u, y) in a frame turned by ``angle``."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return [(u + a * c - b * s, y + a * s + b * c) for a, b in offsets]


def bar(material: str, u: float, y: float, angle: float, length: float, radius: float, bore: float = 0.0) -> Part:
    """A straight rod or tube centred at (u, y)."""
    ends = _along(u, y, angle, (-length / 2, 0.0), (length / 2, 0.0))
    return Part(material, 2.0 * radius, Rod(polyline(ends), radius, bore))


def wire(rng: Rng, u: float, y: float, spread: float, turns: int, radius: float = 0.25) -> list[Part]:
    """A loosely coiled insulated copper wire."""
    t = np.linspace(0.0, 2.0 * np.pi * turns, 12 * turns)
    size = spread * (0.6 + 0.4 * np.sin(t * rng.uniform(0.13, 0.31) + rng.uniform(0.0, 6.0)))
    drift = np.linspace(-0.3, 0.3, t.size) * spread
    path = polyline(
        list(zip(u + size * np.cos(t) + drift, y + 0.7 * size * np.sin(t + rng.uniform(0, 1)), strict=True))
    )
    return [Part("PVC", 4.0 * radius, Rod(path, 2.0 * radius)), Part("Cu", 2.0 * radius, Rod(path, radius))]


def jelly_jar(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Petroleum jelly in a plastic jar."""
    r = rng.uniform(14.0, 20.0)
    return [
        Part("PE", 2.5, Ellipse(u, y, r, r)),
        Part("PE", 12.0, Ellipse(u, y, r, r, hole=0.93)),
        Part("jelly", rng.uniform(8.0, 16.0), Ellipse(u, y, 0.93 * r, 0.93 * r)),
    ]


def lip_balm(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A tube of lip balm."""
    return [bar("PE", u, y, angle, 60.0, 8.0, 0.85), bar("jelly", u, y, angle, 34.0, 6.6)]


def body_puff(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A net sponge."""
    r = rng.uniform(20.0, 28.0)
    return [
        Part("nylon_textile", 14.0, Cloth(Box(u, y, 2 * r, 2 * r, 0.0, r), 0.5, 6.0, int(rng.integers(1 << 30)))),
        Part("PUfoam", 30.0, Ellipse(u, y, r, r, dome=True)),
    ]


def toothbrush(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A toothbrush with its bristles."""
    (head,) = _along(u, y, angle, (70.0, 0.0))
    return [
        bar("ABS", u, y, angle, 150.0, 3.2),
        Part("nylon_textile", 10.0, Cells(Box(*head, 26.0, 11.0, angle), 2.4, 2.4, 0.7, 0.7)),
    ]


def floss(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A dental floss box."""
    return [
        Part("ABS", 2.4, Box(u, y, 42.0, 36.0, angle, 6.0)),
        Part("nylon_textile", 11.0, Ellipse(u, y, 13.0, 13.0, hole=0.45)),
        Part("steel", 0.3, Box(*_along(u, y, angle, (17.0, 0.0))[0], 4.0, 8.0, angle)),
    ]


def tampons(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Two tampons in a paper box."""
    parts = [Part("paper", 0.8, Box(u, y, 58.0, 36.0, angle, 1.0))]
    for across in (-9.0, 9.0):
        (centre,) = _along(u, y, angle, (0.0, across))
        parts.append(bar("cotton", *centre, angle, 46.0, 7.0))
    return parts


def sewing_kit(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Needles, safety pins, small scissors and thread in a box."""
    parts = [Part("ABS", 2.0, Box(u, y, 64.0, 44.0, angle, 4.0))]
    for across in (-16.0, -13.0, -10.5):
        (centre,) = _along(u, y, angle, (-6.0, across))
        parts.append(bar("steel", *centre, angle + rng.uniform(-0.1, 0.1), 38.0, 0.4))
    for turn in (-0.16, 0.16):
        (centre,) = _along(u, y, angle, (2.0, 4.0))
        parts.append(Part("steel", 1.1, Box(*centre, 50.0, 4.0, angle + turn, 1.5)))
        (ring,) = _along(u, y, angle + turn, (-26.0, 5.0))
        parts.append(Part("steel", 1.2, Ellipse(*ring, 8.0, 6.0, angle, hole=0.65)))
    for along in (-22.0, 0.0, 22.0):
        (centre,) = _along(u, y, angle, (along, 16.0))
        parts.append(Part("cotton", 8.0, Ellipse(*centre, 6.0, 5.0, angle, hole=0.3)))
    return parts


def earphones(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Earphones with a tangled wire."""
    parts = wire(rng, u, y, rng.uniform(16.0, 24.0), 3)
    for across in (-12.0, 10.0):
        (bud,) = _along(u, y, angle, (20.0, across))
        parts += [
            Part("ABS", 9.0, Ellipse(*bud, 7.0, 6.0, angle, dome=True)),
            Part("ferrite", 1.6, Ellipse(*bud, 3.2, 3.2)),
            Part("Cu", 0.4, Ellipse(*bud, 4.4, 4.4, hole=0.75)),
        ]
    return parts


def spray(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Breath freshener in an aluminium can."""
    (valve,) = _along(u, y, angle, (34.0, 0.0))
    return [
        bar("Al", u, y, angle, 58.0, 9.0, 0.955),
        bar("water", *_along(u, y, angle, (-8.0, 0.0))[0], angle, 40.0, 8.4),
        bar("PE", *valve, angle, 10.0, 5.0, 0.6),
        bar("steel", *valve, angle, 6.0, 1.6, 0.7),
    ]


def nail_file(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A steel nail file with a plastic handle."""
    (grip,) = _along(u, y, angle, (-46.0, 0.0))
    return [
        Part("steel", 0.9, Box(u, y, 90.0, 7.0, angle, 3.0)),
        Part("ABS", 4.0, Box(*grip, 34.0, 10.0, angle, 4.0)),
    ]


def paracetamol(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A blister of tablets in its carton."""
    parts = [
        Part("paper", 0.6, Box(u, y, 94.0, 42.0, angle, 1.0)),
        Part("PVC", 0.25, Box(u, y, 88.0, 38.0, angle, 2.0)),
        Part("Al", 0.03, Box(u, y, 88.0, 38.0, angle, 2.0)),
    ]
    for i in range(5):
        for across in (-9.5, 9.5):
            (spot,) = _along(u, y, angle, (-34.0 + 17.0 * i, across))
            parts.append(Part("paracetamol", 5.0, Ellipse(*spot, 7.0, 6.0, angle, dome=True)))
    return parts


def hairbrush(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A paddle brush."""
    (head, grip) = _along(u, y, angle, (36.0, 0.0), (-46.0, 0.0))
    return [
        Part("ABS", 6.0, Box(*head, 92.0, 50.0, angle, 22.0)),
        Part("rubber", 1.2, Box(*head, 82.0, 42.0, angle, 20.0)),
        Part("nylon_textile", 22.0, Cells(Box(*head, 80.0, 40.0, angle, 18.0), 7.0, 7.0, 0.28, 0.28)),
        Part("ABS", 12.0, Box(*grip, 86.0, 18.0, angle, 8.0)),
    ]


def gum(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Chewing gum, seven sticks in foil and paper."""
    return [
        Part("sugar", 9.0, Cells(Box(u, y, 70.0, 19.0, angle, 1.0), 75.0, 2.7, 1.0, 0.8)),
        Part("paper", 0.5, Box(u, y, 72.0, 20.0, angle, 1.0)),
        Part("Al", 0.05, Box(u, y, 72.0, 20.0, angle, 1.0)),
    ]


def charger(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A plug-in charger: board, transformer, capacitors, prongs and its lead."""
    (core, big, prong1, prong2) = _along(u, y, angle, (-6.0, 2.0), (10.0, -8.0), (30.0, -6.0), (30.0, 6.0))
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
        (spot,) = _along(u, y, angle, (rng.uniform(-17, 17), rng.uniform(-14, 14)))
        parts.append(Part("solder", 0.25, Box(*spot, rng.uniform(1.0, 2.6), rng.uniform(1.0, 2.0), angle)))
    return parts


def keys(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A ring with three keys."""
    parts = [Part("steel", 2.0, Ellipse(u, y, 12.0, 12.0, hole=0.86))]
    for k in range(3):
        turn = angle + 0.7 * k + rng.uniform(-0.2, 0.2)
        (bow, blade, tooth) = _along(u, y, turn, (20.0, 0.0), (42.0, 0.0), (46.0, 2.5))
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
    (tip, clip) = _along(u, y, angle, (58.0, 0.0), (-45.0, 4.0))
    return [
        bar("ABS", u, y, angle, 135.0, 5.0, 0.75),
        bar("PE", u, y, angle, 105.0, 1.5, 0.6),
        Part("steel", 0.8, Cells(Box(*tip, 18.0, 4.0, angle), 1.6, 99.0, 0.5, 1.0)),
        Part("steel", 0.6, Box(*clip, 38.0, 3.0, angle, 1.0)),
    ]


def toothpaste(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A half-used tube of toothpaste."""
    (cap, fill) = _along(u, y, angle, (56.0, 0.0), (10.0, 0.0))
    return [
        Part("PE", 0.8, Box(u, y, 100.0, 36.0, angle, 4.0)),
        Part("toothpaste", rng.uniform(9.0, 18.0), Box(*fill, 78.0, 32.0, angle, 10.0, ramp=0.7)),
        Part("ABS", 9.0, Ellipse(*cap, 9.0, 9.0, hole=0.5)),
    ]


def bottle(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A small PET bottle of water."""
    (neck,) = _along(u, y, angle, (58.0, 0.0))
    r = rng.uniform(15.0, 19.0)
    return [
        bar("PET", u, y, angle, 90.0, r, 0.97),
        bar("water", *_along(u, y, angle, (-10.0, 0.0))[0], angle, 66.0, 0.96 * r),
        bar("PE", *neck, angle, 14.0, 8.0, 0.8),
    ]


def wallet(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A leather wallet with cards and notes."""
    return [
        Part("leather", 6.0, Box(u, y, 92.0, 68.0, angle, 4.0)),
        Part("PVC", 2.3, Box(u - 2, y + 3, 85.0, 54.0, angle, 3.0)),
        Part("paper", 1.2, Box(u + 1, y - 4, 82.0, 60.0, angle)),
        Part("Si", 0.2, Box(*_along(u, y, angle, (-24.0, 2.0))[0], 11.0, 11.0, angle, 1.0)),
    ]


def notebook(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A paper notebook with a wire binding."""
    (back,) = _along(u, y, angle, (0.0, -36.0))
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
        *(Part("ABS", 2.0, Ellipse(*_along(u, y, angle, (k * 16.0, 4.0))[0], 5.0, 5.0, hole=0.25)) for k in (-1, 0, 1)),
    ]


CLUTTER: tuple[Maker, ...] = (
    jelly_jar, lip_balm, body_puff, toothbrush, floss, tampons, sewing_kit, earphones, spray, nail_file,
    paracetamol, hairbrush, gum, charger, keys, coins, pen, toothpaste, bottle, wallet, notebook, shirt,
)  # fmt: skip
#: What fits beside an electrical item.
SMALL_CLUTTER: tuple[Maker, ...] = (
    lip_balm, earphones, nail_file, gum, keys, coins, pen, paracetamol, floss, tampons, sewing_kit,
)  # fmt: skip
