"""A small laptop and a mobile phone, built of parts; a target takes the place of a drive, a battery cell or a gap."""

from __future__ import annotations

from firmware_bridge.emulator.scene_bag import CENTRE_Y, scatter, textile
from firmware_bridge.emulator.scene_boards import board, cell, fan, screen, screws, target_slab
from firmware_bridge.emulator.scene_clutter import SMALL_CLUTTER
from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_shapes import Box, Cells, Ellipse, Rod, polyline
from firmware_bridge.emulator.scene_wires import Rng, wire

#: Largest laptop that the field of view takes whole, mm.
LAPTOP_MM = (215.0, 135.0)
#: Thickness of targets in electrical items, mm.
CAVITY_MM = (3.0, 8.0)


def laptop(rng: Rng, target: str | None) -> tuple[float, list[Part]]:
    """A laptop in a bag: (length, parts)."""
    w, h = rng.uniform(196.0, LAPTOP_MM[0]), rng.uniform(122.0, LAPTOP_MM[1])
    length = min(w + rng.uniform(6.0, 14.0), 230.0)
    u, y = length / 2, CENTRE_Y
    left, top = u - w / 2, y - h / 2
    metal = rng.random() < 0.4
    case, wall = ("Al", 0.7) if metal else ("ABS", 1.6)
    parts = textile(rng, length, 148.0)
    parts += [Part(case, 2 * wall, Box(u, y, w, h, 0.0, 7.0))]
    parts += screen(u, y + 1.0, w - 12.0, h - 14.0, 0.9)
    # Keyboard over the middle, touch pad below it.
    parts += [
        Part("Al", 0.4, Box(u, top + 0.42 * h, 0.9 * w, 0.42 * h)),
        Part("ABS", 1.4, Cells(Box(u, top + 0.42 * h, 0.9 * w, 0.42 * h), 0.06 * w, 0.07 * h, 0.86, 0.84)),
        Part("FR4", 0.5, Box(u, top + 0.8 * h, 0.26 * w, 0.2 * h, 0.0, 2.0)),
    ]
    # Electronics: main board along the top, heat pipe to the blower, drive bay, battery along the bottom.
    board_w, board_h = 0.56 * w, 0.36 * h
    board_u, board_y = left + 0.04 * w + board_w / 2, top + 0.06 * h + board_h / 2
    parts += board(rng, board_u, board_y, board_w, board_h, 16, 110)
    fan_r = 0.13 * h
    fan_u, fan_y = left + 0.86 * w, top + 0.2 * h
    pipe = polyline(
        [
            (board_u, board_y + 4.0),
            (board_u + 0.2 * w, board_y + 6.0),
            (left + 0.72 * w, fan_y + 10.0),
            (fan_u, fan_y + fan_r),
        ]
    )
    parts += fan(fan_u, fan_y, fan_r)
    parts += [
        Part("Cu", 2.6, Rod(pipe, 2.6, 0.8)),
        Part("Cu", 0.5, Box(board_u, board_y + 4.0, 24.0, 20.0)),
        Part("Cu", 3.0, Cells(Box(fan_u, fan_y - fan_r - 3.0, 2 * fan_r, 6.0), 1.4, 99.0, 0.25, 1.0)),
        Part("steel", 5.0, Rod(polyline([(left + 20.0, top + 3.0), (left + 45.0, top + 3.0)]), 2.5)),
        Part("steel", 5.0, Rod(polyline([(left + w - 45.0, top + 3.0), (left + w - 20.0, top + 3.0)]), 2.5)),
    ]
    for k in range(3):  # connectors on both sides
        for edge in (left + 6.0, left + w - 6.0):
            parts.append(Part("steel", 0.6, Box(edge, top + (0.16 + 0.12 * k) * h, 10.0, 8.0, 0.0, 0.5)))
    for edge in (left + 0.06 * w, left + 0.94 * w):  # loudspeakers
        parts += [
            Part("ferrite", 2.4, Ellipse(edge, top + 0.62 * h, 6.0, 6.0)),
            Part("Cu", 0.4, Ellipse(edge, top + 0.62 * h, 7.5, 7.5, hole=0.8)),
        ]
    cells = 4
    bay_w, bay_h = 0.3 * w, 0.34 * h
    bay = Box(left + 0.8 * w, top + 0.6 * h, bay_w, bay_h, 0.0, 1.5)
    cell_w, cell_h = 0.62 * w / cells, 0.27 * h
    cell_y = top + 0.8 * h
    hollow = -1
    thickness = float(round(rng.uniform(*CAVITY_MM), 2))
    place = rng.choice(["bay", "cell", "gap"])
    if target is not None:
        if place == "bay":
            parts += target_slab(
                target,
                thickness,
                Box(bay.u, bay.y, bay_w * rng.uniform(0.7, 0.95), bay_h * rng.uniform(0.7, 0.95), 0.0, 1.5),
            )
        elif place == "cell":
            hollow = int(rng.integers(cells))
            parts += target_slab(
                target,
                thickness,
                Box(left + 0.04 * w + (hollow + 0.5) * cell_w, cell_y, cell_w - 3.0, cell_h - 3.0, 0.0, 2.0),
            )
        else:
            parts += target_slab(target, thickness, Box(left + 0.68 * w, top + 0.45 * h, 0.13 * w, 0.16 * h, 0.0, 3.0))
    if target is None or place != "bay":  # a solid-state drive in its tray
        parts += [Part("Al", 0.8, Box(bay.u, bay.y, bay_w, bay_h, 0.0, 2.0))]
        parts += board(rng, bay.u, bay.y, 0.86 * bay_w, 0.7 * bay_h, 6, 18)
    for k in range(cells):
        if k != hollow:
            parts += cell(left + 0.04 * w + (k + 0.5) * cell_w, cell_y, cell_w - 2.0, cell_h, 4.6)
    parts += screws([(left + a * w, top + b * h) for a in (0.03, 0.35, 0.65, 0.97) for b in (0.05, 0.95)], 1.5, 4.0)
    parts += [Part("Cu", 0.6, Rod(polyline([(board_u, top + 0.5 * h), (left + 0.5 * w, cell_y - 0.5 * cell_h)]), 0.8))]
    parts += scatter(rng, SMALL_CLUTTER, int(rng.integers(1, 4)), length, 130.0)
    return length, parts


def phone(rng: Rng, target: str | None) -> tuple[float, list[Part]]:
    """A mobile phone in a small bag with other things: (length, parts)."""
    length, height = rng.uniform(172.0, 205.0), rng.uniform(104.0, 132.0)
    parts = textile(rng, length, height)
    w, h = rng.uniform(138.0, 158.0), rng.uniform(66.0, 76.0)
    u = length / 2 + rng.uniform(-0.4, 0.4) * (length - w - 12.0)
    y = CENTRE_Y + rng.uniform(-0.4, 0.4) * (height - h - 16.0)
    left, top = u - w / 2, y - h / 2
    frame = str(rng.choice(["Al", "steel"]))
    rim = 4.0 if frame == "Al" else 1.2
    parts += screen(u, y, w - 4.0, h - 4.0, 0.7)
    parts += [
        Part("glass", 0.6, Box(u, y, w - 2.0, h - 2.0, 0.0, 9.0)),
        Part("Al", 0.5, Box(u, y, w - 3.0, h - 3.0, 0.0, 9.0)),
        *(Part(frame, rim, Box(u, edge, w - 14.0, 1.6)) for edge in (top + 0.8, top + h - 0.8)),
        *(Part(frame, rim, Box(edge, y, 1.6, h - 14.0)) for edge in (left + 0.8, left + w - 0.8)),
    ]
    # Camera end: board with shields; middle: battery; other end: loudspeaker, motor, connector.
    parts += board(rng, left + 0.17 * w, top + 0.5 * h, 0.26 * w, 0.86 * h, 12, 60)
    parts += [Part("steel", 0.15, Box(left + 0.2 * w, top + 0.66 * h, 0.16 * w, 0.4 * h, 0.0, 1.0))]
    for k in range(2):
        camera = (left + 0.09 * w, top + (0.16 + 0.2 * k) * h)
        parts += [
            Part("steel", 0.8, Ellipse(*camera, 5.5, 5.5, hole=0.78)),
            Part("glass", 3.0, Ellipse(*camera, 4.0, 4.0, dome=True)),
            Part("Cu", 0.5, Ellipse(*camera, 4.6, 4.6, hole=0.82)),
        ]
    parts += board(rng, left + 0.93 * w, top + 0.5 * h, 0.09 * w, 0.8 * h, 3, 16)
    parts += [
        Part("ferrite", 1.6, Box(left + 0.93 * w, top + 0.22 * h, 9.0, 12.0, 0.0, 1.0)),
        Part("steel", 0.9, Ellipse(left + 0.93 * w, top + 0.84 * h, 4.5, 4.5)),
        Part("steel", 0.8, Box(left + 0.975 * w, y, 6.0, 9.0)),
        Part("Cu", 0.25, Ellipse(left + 0.6 * w, y, 20.0, 20.0, hole=0.6)),
    ]
    battery = (left + 0.32 * w, left + 0.87 * w)
    thickness = float(round(rng.uniform(CAVITY_MM[0], 5.0), 2))
    if target is None:
        parts += cell((battery[0] + battery[1]) / 2, y, battery[1] - battery[0], 0.84 * h, 3.4)
    else:  # a smaller battery leaves a cavity
        split = battery[0] + (battery[1] - battery[0]) * rng.uniform(0.42, 0.6)
        parts += cell((battery[0] + split) / 2, y, split - battery[0] - 1.0, 0.84 * h, 3.4)
        parts += target_slab(
            target, thickness, Box((split + battery[1]) / 2, y, battery[1] - split - 4.0, 0.78 * h, 0.0, 2.0)
        )
    parts += screws([(left + a * w, top + b * h) for a in (0.05, 0.3, 0.88) for b in (0.07, 0.93)], 0.8, 2.0)
    others = scatter(rng, SMALL_CLUTTER, int(rng.integers(2, 5)), length, height)
    return length, parts + others + (wire(rng, 0.8 * length, y, 14.0, 2) if rng.random() < 0.5 else [])
