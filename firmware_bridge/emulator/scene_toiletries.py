"""What is in a wash bag: the toiletries among the paper's clutter (Methods, Sample preparation).

Every function returns the parts of one thing, centred at (u, y), turned by ``angle``; ``rng`` varies its size.
"""

from __future__ import annotations

from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_shapes import Box, Cells, Cloth, Ellipse
from firmware_bridge.emulator.scene_wires import Rng, along, bar


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
    (head,) = along(u, y, angle, (70.0, 0.0))
    return [
        bar("ABS", u, y, angle, 150.0, 3.2),
        Part("nylon_textile", 10.0, Cells(Box(*head, 26.0, 11.0, angle), 2.4, 2.4, 0.7, 0.7)),
    ]


def floss(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A dental floss box."""
    return [
        Part("ABS", 2.4, Box(u, y, 42.0, 36.0, angle, 6.0)),
        Part("nylon_textile", 11.0, Ellipse(u, y, 13.0, 13.0, hole=0.45)),
        Part("steel", 0.3, Box(*along(u, y, angle, (17.0, 0.0))[0], 4.0, 8.0, angle)),
    ]


def tampons(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Two tampons in a paper box."""
    parts = [Part("paper", 0.8, Box(u, y, 58.0, 36.0, angle, 1.0))]
    for across in (-9.0, 9.0):
        (centre,) = along(u, y, angle, (0.0, across))
        parts.append(bar("cotton", *centre, angle, 46.0, 7.0))
    return parts


def spray(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """Breath freshener in an aluminium can."""
    (valve,) = along(u, y, angle, (34.0, 0.0))
    return [
        bar("Al", u, y, angle, 58.0, 9.0, 0.955),
        bar("water", *along(u, y, angle, (-8.0, 0.0))[0], angle, 40.0, 8.4),
        bar("PE", *valve, angle, 10.0, 5.0, 0.6),
        bar("steel", *valve, angle, 6.0, 1.6, 0.7),
    ]


def nail_file(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A steel nail file with a plastic handle."""
    (grip,) = along(u, y, angle, (-46.0, 0.0))
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
            (spot,) = along(u, y, angle, (-34.0 + 17.0 * i, across))
            parts.append(Part("paracetamol", 5.0, Ellipse(*spot, 7.0, 6.0, angle, dome=True)))
    return parts


def hairbrush(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A paddle brush."""
    (head, grip) = along(u, y, angle, (36.0, 0.0), (-46.0, 0.0))
    return [
        Part("ABS", 6.0, Box(*head, 92.0, 50.0, angle, 22.0)),
        Part("rubber", 1.2, Box(*head, 82.0, 42.0, angle, 20.0)),
        Part("nylon_textile", 22.0, Cells(Box(*head, 80.0, 40.0, angle, 18.0), 7.0, 7.0, 0.28, 0.28)),
        Part("ABS", 12.0, Box(*grip, 86.0, 18.0, angle, 8.0)),
    ]


def toothpaste(rng: Rng, u: float, y: float, angle: float) -> list[Part]:
    """A half-used tube of toothpaste."""
    (cap, fill) = along(u, y, angle, (56.0, 0.0), (10.0, 0.0))
    return [
        Part("PE", 0.8, Box(u, y, 100.0, 36.0, angle, 4.0)),
        Part("toothpaste", rng.uniform(9.0, 18.0), Box(*fill, 78.0, 32.0, angle, 10.0, ramp=0.7)),
        Part("ABS", 9.0, Ellipse(*cap, 9.0, 9.0, hole=0.5)),
    ]
