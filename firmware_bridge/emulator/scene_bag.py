"""Bags: cloth with its zip and handles, containers of the paper's materials, and clutter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from firmware_bridge.emulator.materials import names
from firmware_bridge.emulator.scene_clutter import CLUTTER, Maker
from firmware_bridge.emulator.scene_parts import DESIGN_HEIGHT_MM, Part
from firmware_bridge.emulator.scene_shapes import Bounds, Box, Cells, Cloth, Rod, polyline
from firmware_bridge.emulator.scene_wires import Rng

#: Fill heights of containers, mm [P].
THINNEST_MM, THICKEST_MM = 2.5, 37.5
#: Side walls and floor plus lid of an acrylic container, mm [A].
WALL_MM, FLOOR_MM = 2.0, 3.0
CENTRE_Y = DESIGN_HEIGHT_MM / 2
#: Things keep this far from the bag's outline, mm.
SEAM_MM = 4.0
#: Attempts to place one thing free of the others.
PLACEMENTS = 60


def textile(rng: Rng, length: float, height: float) -> list[Part]:
    """The bag itself: folded cloth, a seam all round, a zip and two handles; its leading edge is at u = 0."""
    u, y = length / 2, CENTRE_Y
    cloth = str(rng.choice(["nylon_textile", "cotton", "nylon_textile"]))
    side = 1.0 if rng.random() < 0.5 else -1.0
    zip_y = y - side * (0.5 * height - 8.0)
    handle_y = y - side * (0.5 * height - 2.0)
    seed = int(rng.integers(1 << 30))
    parts = [
        Part(cloth, rng.uniform(2.0, 4.5), Cloth(Box(u, y, length, height, 0.0, 16.0), 0.35, 45.0, seed)),
        Part(cloth, 3.0, Cells(Box(u, y + 0.48 * height, length - 24.0, 3.0), 400.0, 400.0, 1.0, 1.0)),
        Part(cloth, 3.0, Cells(Box(u, y - 0.48 * height, length - 24.0, 3.0), 400.0, 400.0, 1.0, 1.0)),
        Part("Al", 1.2, Cells(Box(u, zip_y, 0.8 * length, 5.0), 2.2, 99.0, 0.5, 1.0)),
        Part("steel", 1.5, Box(u - 0.38 * length, zip_y + side * 7.0, 3.0, 14.0, 0.0, 1.0)),
    ]
    for k in (-0.22, 0.22):
        arc = [
            (u + k * length + 22.0 * np.sin(a), handle_y + side * 24.0 * np.cos(a)) for a in np.linspace(-1.5, 1.5, 9)
        ]
        parts.append(Part("nylon_textile", 7.0, Rod(polyline(arc), 5.0)))
    return parts


def container(material: str, thickness: float, box: Box, label: str) -> list[Part]:
    """An acrylic container filled with ``thickness`` mm of a material; the fill is the labelled part."""
    outer = Box(box.u, box.y, box.w + 2 * WALL_MM, box.h + 2 * WALL_MM, box.angle, 3.0)
    walls = [
        Part("acrylic", FLOOR_MM, outer),
        *(
            Part(
                "acrylic",
                thickness,
                Box(box.u + du * np.cos(box.angle), box.y + du * np.sin(box.angle), WALL_MM, outer.h, box.angle),
            )
            for du in (-(box.w + WALL_MM) / 2, (box.w + WALL_MM) / 2)
        ),
        *(
            Part(
                "acrylic",
                thickness,
                Box(box.u - dy * np.sin(box.angle), box.y + dy * np.cos(box.angle), box.w, WALL_MM, box.angle),
            )
            for dy in (-(box.h + WALL_MM) / 2, (box.h + WALL_MM) / 2)
        ),
    ]
    return [*walls, Part(material, thickness, Box(box.u, box.y, box.w, box.h, box.angle, 1.0), label)]


def _overlaps(box: Box, others: list[Box]) -> bool:
    u0, u1, y0, y1 = box.bounds()
    for other in others:
        v0, v1, z0, z1 = other.bounds()
        if u0 < v1 + 2 * WALL_MM and v0 < u1 + 2 * WALL_MM and y0 < z1 + 2 * WALL_MM and z0 < y1 + 2 * WALL_MM:
            return True
    return False


def place_box(rng: Rng, length: float, height: float, taken: list[Box]) -> Box | None:
    """A place for a container inside the bag, clear of the other containers; None when the bag is full."""
    for _ in range(PLACEMENTS):
        w, h = rng.uniform(30.0, 58.0), rng.uniform(26.0, 46.0)
        angle = float(rng.choice([0.0, 0.0, rng.uniform(-0.5, 0.5)]))
        reach = 0.5 * float(np.hypot(w, h)) + WALL_MM + 4.0
        box = Box(
            float(rng.uniform(reach, length - reach)),
            float(CENTRE_Y + rng.uniform(-1.0, 1.0) * (height / 2 - reach)),
            float(w),
            float(h),
            angle,
        )
        if not _overlaps(box, taken):
            taken.append(box)
            return box
    return None


def _extent(parts: list[Part]) -> Bounds:
    bounds = [part.shape.bounds() for part in parts]
    return (
        min(b[0] for b in bounds),
        max(b[1] for b in bounds),
        min(b[2] for b in bounds),
        max(b[3] for b in bounds),
    )


def scatter(rng: Rng, makers: tuple[Maker, ...], count: int, length: float, height: float) -> list[Part]:
    """``count`` different things thrown into the bag; what does not fit at any angle stays at home."""
    parts: list[Part] = []
    top, bottom = CENTRE_Y - 0.5 * height + SEAM_MM, CENTRE_Y + 0.5 * height - SEAM_MM
    for index in rng.choice(len(makers), size=min(count, len(makers)), replace=False):
        for _ in range(PLACEMENTS // 10):
            u, y = rng.uniform(0.1, 0.9) * length, CENTRE_Y + rng.uniform(-0.45, 0.45) * height
            thing = makers[int(index)](rng, float(u), float(y), float(rng.uniform(-np.pi, np.pi)))
            u0, u1, y0, y1 = _extent(thing)
            if u1 - u0 > length - 2 * SEAM_MM or y1 - y0 > bottom - top:
                continue
            du = max(SEAM_MM - u0, 0.0) + min(length - SEAM_MM - u1, 0.0)
            dy = max(top - y0, 0.0) + min(bottom - y1, 0.0)
            parts += [replace(part, shape=part.shape.moved(du, dy)) for part in thing]
            break
    return parts


def bag(rng: Rng, target: str | None) -> tuple[float, list[Part]]:
    """A cluttered bag: (length, parts). Containers of benign materials are in every bag, the target's in some."""
    length, height = rng.uniform(165.0, 222.0), rng.uniform(118.0, 146.0)
    parts = textile(rng, length, height)
    taken: list[Box] = []
    fillings: list[tuple[str, str]] = [] if target is None else [(target, "target")]
    benign = rng.choice(names("benign"), size=int(rng.integers(1, 3)), replace=False)
    fillings += [(str(name), "benign") for name in benign]
    for material, label in fillings:
        box = place_box(rng, length, height, taken)
        if box is not None:
            thickness = float(rng.uniform(THINNEST_MM, THICKEST_MM))
            parts += container(material, round(thickness, 2), box, label)
    parts += scatter(rng, CLUTTER, int(rng.integers(6, 11)), length, height)
    return length, parts
