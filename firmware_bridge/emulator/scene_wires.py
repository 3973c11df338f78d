"""Frames of reference, rods and wires: the small change of scene building."""

from __future__ import annotations

import numpy as np

from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_shapes import Rod, polyline

Rng = np.random.Generator


def along(u: float, y: float, angle: float, *offsets: tuple[float, float]) -> list[tuple[float, float]]:
    """Points at (along, across) offsets from (u, y) in a frame turned by ``angle``."""
    c, s = float(np.cos(angle)), float(np.sin(angle))
    return [(u + a * c - b * s, y + a * s + b * c) for a, b in offsets]


def bar(material: str, u: float, y: float, angle: float, length: float, radius: float, bore: float = 0.0) -> Part:
    """A straight rod or tube centred at (u, y)."""
    ends = along(u, y, angle, (-length / 2, 0.0), (length / 2, 0.0))
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
