"""A hair-dryer, built of parts; a target fills its handle or the free end of its barrel."""

from __future__ import annotations

import numpy as np

from firmware_bridge.emulator.scene_bag import CENTRE_Y, scatter, textile
from firmware_bridge.emulator.scene_boards import board, screws
from firmware_bridge.emulator.scene_clutter import SMALL_CLUTTER
from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_shapes import Box, Cells, Ellipse, Rod, polyline
from firmware_bridge.emulator.scene_wires import Rng, bar


def hair_dryer(rng: Rng, target: str | None) -> tuple[float, list[Part]]:
    """A hair-dryer in a bag: (length, parts)."""
    length, height = rng.uniform(205.0, 226.0), 146.0
    parts = textile(rng, length, height)
    barrel_r = rng.uniform(25.0, 30.0)
    barrel_len = rng.uniform(150.0, 172.0)
    back, y = 0.5 * (length - barrel_len), CENTRE_Y - 0.5 * height + barrel_r + 12.0
    front = back + barrel_len

    def tube(material: str, u0: float, u1: float, radius: float, bore: float) -> Part:
        return Part(material, 2.0 * radius, Rod(polyline([(u0, y), (u1, y)]), radius, bore))

    parts += [
        Part("ABS", 2.0 * barrel_r, Rod(polyline([(back + barrel_r, y), (front - barrel_r, y)]), barrel_r, 0.93)),
        Part("ABS", 16.0, Box(front - 4.0, y, 14.0, 1.7 * barrel_r, 0.0, 4.0)),
        Part("ABS", 5.0, Cells(Box(back + 4.0, y, 5.0, 1.6 * barrel_r, 0.0, 2.0), 99.0, 4.0, 1.0, 0.5)),
    ]
    # Motor: steel can, magnets, armature of copper on laminations, shaft, fan.
    motor = back + rng.uniform(46.0, 54.0)
    parts += [
        tube("steel", motor - 10.0, motor + 10.0, 13.0, 0.965),
        Part("ferrite", 5.0, Box(motor, y - 9.0, 22.0, 4.0)),
        Part("ferrite", 5.0, Box(motor, y + 9.0, 22.0, 4.0)),
        Part("steel", 5.0, Cells(Box(motor, y, 16.0, 12.0), 2.0, 99.0, 0.6, 1.0)),
        Part("Cu", 2.0, Box(motor - 11.0, y, 4.0, 10.0, 0.0, 2.0)),
        Part("Cu", 2.0, Box(motor + 11.0, y, 4.0, 10.0, 0.0, 2.0)),
        bar("steel", motor - 12.0, y, 0.0, 36.0, 1.4),
        Part("ABS", 8.0, Cells(Box(motor - 27.0, y, 9.0, 1.7 * barrel_r), 99.0, 6.0, 1.0, 0.35)),
    ]
    # Heater: crossed mica sheets carrying zigzag resistance wire.
    hot0, hot1 = motor + 24.0, front - 22.0
    parts += [
        Part("FR4", 0.7, Box((hot0 + hot1) / 2, y, hot1 - hot0, 1.55 * barrel_r)),
        Part("FR4", 1.4 * barrel_r, Box((hot0 + hot1) / 2, y, hot1 - hot0, 0.6)),
    ]
    for k in range(3):
        t = np.linspace(0.0, 1.0, 16 * 8 + 1)
        reach = (0.72 - 0.16 * k) * barrel_r
        coil = list(
            zip(
                hot0 + 3.0 + t * (hot1 - hot0 - 6.0),
                y + reach * np.sin(2.0 * np.pi * (16.0 * t + 0.33 * k)),
                strict=True,
            )
        )
        parts.append(Part("steel", 0.5, Rod(polyline(coil), 0.25)))
    # Handle with its switch board, wires and the lead.
    tilt = rng.uniform(-0.16, 0.16)
    handle_u = back + rng.uniform(52.0, 66.0)
    handle_top, handle_end = y + 0.8 * barrel_r, CENTRE_Y + 0.5 * height - 16.0
    middle = (handle_u + tilt * (handle_end - handle_top) / 2, (handle_top + handle_end) / 2)
    angle = float(np.arctan2(handle_end - handle_top, tilt * (handle_end - handle_top)))
    handle_len = handle_end - handle_top
    parts += [bar("ABS", *middle, angle, handle_len, 15.0, 0.86)]
    axis = np.array([np.cos(angle), np.sin(angle)])
    switch = np.array(middle) - 0.28 * handle_len * axis
    parts += board(rng, float(switch[0]), float(switch[1]), 14.0, 20.0, 2, 16)
    parts += [
        Part("steel", 1.0, Box(float(switch[0]), float(switch[1]), 7.0, 9.0)),
        Part("Cu", 1.2, Rod(polyline([(motor, y + 8.0), tuple(switch)]), 0.7)),
    ]
    end = np.array(middle) + 0.5 * handle_len * axis
    sweep = np.linspace(0.0, 1.0, 60)
    lead = [
        (
            float(end[0] + (length - end[0] - 36.0) * s),
            float(min(end[1], CENTRE_Y + 0.5 * height - 14.0) - 26.0 * np.sin(9.0 * s) * s),
        )
        for s in sweep
    ]
    parts += [Part("PVC", 6.4, Rod(polyline(lead), 3.2)), Part("Cu", 2.2, Rod(polyline(lead), 1.1))]
    parts += screws(
        [(handle_u, y + 0.9 * barrel_r), (float(end[0]), float(end[1]) - 8.0), (motor + 30.0, y - 0.9 * barrel_r)],
        1.4,
        9.0,
    )
    if target is not None:
        if rng.random() < 0.6:  # in the lower handle, round like the cavity
            radius = rng.uniform(7.5, 11.5)
            a, b = np.array(middle) - 0.05 * handle_len * axis, np.array(middle) + 0.4 * handle_len * axis
            rod = Rod(polyline([tuple(a), tuple(b)]), radius)
        else:  # a roll in the front of the barrel, where the heater was shortened
            radius = rng.uniform(9.0, 13.0)
            rod = Rod(polyline([(front - 26.0, y - 0.35 * barrel_r), (front - 26.0, y + 0.35 * barrel_r)]), radius)
        film = Rod(rod.points, radius + 0.4)
        parts += [Part("PE", 0.4, film), Part(target, round(2.0 * radius, 2), rod, "target")]
    parts += [Part("ABS", 3.0, Ellipse(back + 2.0, y, 3.0, 12.0))]
    parts += scatter(rng, SMALL_CLUTTER, int(rng.integers(2, 4)), length, height)
    return length, parts
