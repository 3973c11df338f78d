"""Outlines and thickness profiles of the parts that scenes are built of, in mm in the plane of the belt.

A shape maps positions (u along the belt, y down the field) to a relative thickness of 0 … 1. Edges are softened over
``soft`` mm (about one fine pixel), so that partly covered pixels are partly filled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Bounds = tuple[float, float, float, float]


class Shape(Protocol):
    """An outline with a profile."""

    def bounds(self) -> Bounds:
        """Smallest u, largest u, smallest y, largest y, mm."""
        ...

    def profile(self, u: F32, y: F32, soft: tuple[float, float]) -> F32:
        """Relative thickness at ``u`` (n, 1) and ``y`` (1, m); ``soft``: edge widths along u and y."""
        ...

    def moved(self, du: float, dy: float) -> Shape:
        """Return the same shape elsewhere."""
        ...


def _turn(u: F32, y: F32, centre: tuple[float, float], angle: float) -> tuple[F32, F32]:
    """Coordinates along the axes of a shape turned by ``angle`` rad."""
    du, dy = u - np.float32(centre[0]), y - np.float32(centre[1])
    if angle == 0.0:
        return du, dy
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return c * du + s * dy, c * dy - s * du


def _inside(distance: F32, soft: float) -> F32:
    """Coverage from a signed distance, mm (negative inside)."""
    return np.asarray(np.clip(np.float32(0.5) - distance / np.float32(soft), 0.0, 1.0), dtype=np.float32)


def _band(x: F32, width: float, soft: float) -> F32:
    """Coverage of cells of size ``soft`` at ``x`` by the band |x| < width/2, also when it is narrower than a cell."""
    cover = np.float32(0.5 + 0.5 * width / soft) - np.abs(x) / np.float32(soft)
    return np.asarray(np.clip(cover, 0.0, min(1.0, width / soft)), dtype=np.float32)


@dataclass(frozen=True)
class Box:
    """A rectangle w × h, corners of radius ``corner``; ``ramp`` makes it thinner towards one end (a wedge)."""

    u: float
    y: float
    w: float
    h: float
    angle: float = 0.0
    corner: float = 0.0
    ramp: float = 0.0

    def bounds(self) -> Bounds:
        """See :class:`Shape`."""
        c, s = abs(np.cos(self.angle)), abs(np.sin(self.angle))
        half_u, half_y = 0.5 * (self.w * c + self.h * s), 0.5 * (self.w * s + self.h * c)
        return self.u - half_u, self.u + half_u, self.y - half_y, self.y + half_y

    def moved(self, du: float, dy: float) -> Box:
        """See :class:`Shape`."""
        return replace(self, u=self.u + du, y=self.y + dy)

    def profile(self, u: F32, y: F32, soft: tuple[float, float]) -> F32:
        """See :class:`Shape`."""
        a, b = _turn(u, y, (self.u, self.y), self.angle)
        corner = min(self.corner, 0.5 * self.w, 0.5 * self.h)
        if corner == 0.0 and self.angle == 0.0:  # separable: cheap for the many small boxes of a circuit board
            cover = _band(a, self.w, soft[0]) * _band(b, self.h, soft[1])
        else:
            qa, qb = np.abs(a) - (0.5 * self.w - corner), np.abs(b) - (0.5 * self.h - corner)
            outside = np.hypot(np.maximum(qa, 0.0), np.maximum(qb, 0.0)) + np.minimum(np.maximum(qa, qb), 0.0)
            cover = _inside(outside - np.float32(corner), max(soft))
        if self.ramp:
            cover = cover * np.clip(1.0 - self.ramp * (0.5 + a / np.float32(self.w)), 0.0, 1.0)
        return np.asarray(cover, dtype=np.float32)


@dataclass(frozen=True)
class Ellipse:
    """An ellipse with half axes a, b. ``dome``: ellipsoid; ``hole``: relative size of a concentric hole."""

    u: float
    y: float
    a: float
    b: float
    angle: float = 0.0
    dome: bool = False
    hole: float = 0.0

    def bounds(self) -> Bounds:
        """See :class:`Shape`."""
        c, s = np.cos(self.angle), np.sin(self.angle)
        half_u, half_y = float(np.hypot(self.a * c, self.b * s)), float(np.hypot(self.a * s, self.b * c))
        return self.u - half_u, self.u + half_u, self.y - half_y, self.y + half_y

    def moved(self, du: float, dy: float) -> Ellipse:
        """See :class:`Shape`."""
        return replace(self, u=self.u + du, y=self.y + dy)

    def profile(self, u: F32, y: F32, soft: tuple[float, float]) -> F32:
        """See :class:`Shape`."""
        p, q = _turn(u, y, (self.u, self.y), self.angle)
        radius = np.hypot(p / np.float32(self.a), q / np.float32(self.b))
        if self.dome:
            return np.asarray(np.sqrt(np.maximum(1.0 - radius * radius, 0.0)), dtype=np.float32)
        size = min(self.a, self.b)
        cover = _inside((radius - 1.0) * np.float32(size), max(soft))
        if self.hole:
            cover = cover * _inside((np.float32(self.hole) - radius) * np.float32(size), max(soft))
        return np.asarray(cover, dtype=np.float32)


@dataclass(frozen=True)
class Rod:
    """A round rod or tube along a polyline; thickness 1 is its diameter 2r. ``bore``: inner over outer radius."""

    points: tuple[tuple[float, float], ...]
    radius: float
    bore: float = 0.0

    def bounds(self) -> Bounds:
        """See :class:`Shape`."""
        us, ys = [p[0] for p in self.points], [p[1] for p in self.points]
        return min(us) - self.radius, max(us) + self.radius, min(ys) - self.radius, max(ys) + self.radius

    def moved(self, du: float, dy: float) -> Rod:
        """See :class:`Shape`."""
        return replace(self, points=tuple((u + du, y + dy) for u, y in self.points))

    def profile(self, u: F32, y: F32, soft: tuple[float, float]) -> F32:
        """See :class:`Shape`."""
        nearest = np.full(np.broadcast_shapes(u.shape, y.shape), np.inf, dtype=np.float32)
        for (u0, y0), (u1, y1) in zip(self.points[:-1], self.points[1:], strict=True):
            du, dy = u1 - u0, y1 - y0
            length2 = max(du * du + dy * dy, 1e-12)
            along = np.clip(((u - np.float32(u0)) * du + (y - np.float32(y0)) * dy) / np.float32(length2), 0.0, 1.0)
            squared = (u - np.float32(u0) - along * du) ** 2 + (y - np.float32(y0) - along * dy) ** 2
            np.minimum(nearest, squared, out=nearest, dtype=np.float32, casting="unsafe")
        # A wire thinner than a pixel covers part of it: widen it and thin it, keeping its volume.
        width = max(self.radius, 0.5 * max(soft))
        share = self.radius / width
        outer = share * np.sqrt(np.maximum(1.0 - nearest / np.float32(width**2), 0.0))
        if self.bore and share == 1.0:
            inner = np.float32((self.radius * self.bore) ** 2)
            outer = outer - self.bore * np.sqrt(np.maximum(1.0 - nearest / inner, 0.0))
        return np.asarray(outer, dtype=np.float32)


@dataclass(frozen=True)
class Cells:
    """A box filled with equal cells on a pitch: keys of a keyboard, fins, bristles, windings."""

    box: Box
    pitch_u: float
    pitch_y: float
    fill_u: float = 0.85
    fill_y: float = 0.85

    def bounds(self) -> Bounds:
        """See :class:`Shape`."""
        return self.box.bounds()

    def moved(self, du: float, dy: float) -> Cells:
        """See :class:`Shape`."""
        return replace(self, box=self.box.moved(du, dy))

    def profile(self, u: F32, y: F32, soft: tuple[float, float]) -> F32:
        """See :class:`Shape`."""
        a, b = _turn(u, y, (self.box.u, self.box.y), self.box.angle)
        cover = self.box.profile(u, y, soft)
        for x, pitch, fill, width in ((a, self.pitch_u, self.fill_u, soft[0]), (b, self.pitch_y, self.fill_y, soft[1])):
            if fill >= 1.0:
                continue
            if pitch <= 2.0 * width:  # finer than the grid: its mean
                cover = cover * np.float32(fill)
                continue
            offset = np.abs(np.mod(x, np.float32(pitch)) - np.float32(0.5 * pitch))
            cover = cover * _inside(offset - np.float32(0.5 * pitch * fill), width)
        return np.asarray(cover, dtype=np.float32)


@dataclass(frozen=True)
class Cloth:
    """A box of cloth: ``folds`` relative depth of soft folds with wavelength ``fold_mm``, drawn from ``seed``."""

    box: Box
    folds: float
    fold_mm: float
    seed: int

    def bounds(self) -> Bounds:
        """See :class:`Shape`."""
        return self.box.bounds()

    def moved(self, du: float, dy: float) -> Cloth:
        """See :class:`Shape`."""
        return replace(self, box=self.box.moved(du, dy))

    def profile(self, u: F32, y: F32, soft: tuple[float, float]) -> F32:
        """See :class:`Shape`."""
        rng = np.random.default_rng(self.seed)
        relief = np.zeros(np.broadcast_shapes(u.shape, y.shape), dtype=np.float32)
        waves = 7
        for _ in range(waves):
            angle, phase = rng.uniform(0.0, np.pi), rng.uniform(0.0, 2.0 * np.pi)
            k = 2.0 * np.pi / (self.fold_mm * rng.uniform(0.6, 1.8))
            bend = np.float32(0.8) * np.sin(np.float32(0.5 * k) * (u * np.float32(np.sin(angle)) - y))
            relief += np.sin(
                np.float32(k) * (u * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)))
                + bend
                + np.float32(phase)
            )
        relief *= np.float32(self.folds / waves**0.5)
        return np.asarray(
            self.box.profile(u, y, soft) * np.clip(1.0 - self.folds + relief, 0.05, 1.0), dtype=np.float32
        )


def polyline(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Points as the tuple that :class:`Rod` keeps."""
    return tuple((float(u), float(y)) for u, y in points)
