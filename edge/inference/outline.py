"""Outline of a region as a polygon."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from edge.inference.tiles import Bool
from kernels.types import F64

Points = list[tuple[float, float]]
Rows = list[list[bool]]
#: Direction of travel along a crack, (row, column): right, down, left, up; inside lies to the right.
_MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))
#: Block ahead on the right of a corner, for each direction.
_AHEAD_RIGHT = ((0, 0), (0, -1), (-1, -1), (-1, 0))


def outline(mask: Bool, tolerance: float = 0.6) -> Points:
    """Outer outline of the largest connected part of ``mask``, as corner points (row, column) in blocks, simplified.

    Follows the cracks between blocks, so a single block gives its four corners. Holes are filled.
    """
    labels, n = ndimage.label(mask)
    if n == 0:
        return []
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    filled = np.pad(ndimage.binary_fill_holes(labels == largest), 1)
    row, column = (int(i) for i in np.argwhere(filled)[0])
    solid: Rows = filled.tolist()  # read block by block below: lists are several times faster at that than arrays
    start, position, heading = (row, column), (row, column), 0
    points: Points = []
    while True:
        points.append((position[0] - 1.0, position[1] - 1.0))
        position = (position[0] + _MOVES[heading][0], position[1] + _MOVES[heading][1])
        heading = _turn(solid, position, heading)
        if position == start and heading == 0:
            break
    return _simplified(points, tolerance)


def _turn(solid: Rows, corner: tuple[int, int], heading: int) -> int:
    """Next heading at ``corner`` with the inside kept on the right-hand side (blocks joined by sides only)."""
    if not _solid(solid, corner, heading):
        return (heading + 1) % 4
    return (heading - 1) % 4 if _solid(solid, corner, (heading - 1) % 4) else heading


def _solid(solid: Rows, corner: tuple[int, int], heading: int) -> bool:
    """Whether the block ahead on the right is solid; with the heading turned left, the one ahead on the left."""
    row, column = _AHEAD_RIGHT[heading]
    return solid[corner[0] + row][corner[1] + column]


def _simplified(points: Points, tolerance: float) -> Points:
    """Douglas–Peucker on the closed outline, started at its two points farthest apart along it."""
    array = np.array(points)
    far = int(np.argmax(((array - array[0]) ** 2).sum(1)))
    closed = np.concatenate([array, array[:1]])
    keep = _kept(closed, 0, far, tolerance) | _kept(closed, far, len(array), tolerance)
    return [(float(array[i, 0]), float(array[i, 1])) for i in sorted(i % len(array) for i in keep if i < len(array))]


def _kept(points: F64, first: int, last: int, tolerance: float) -> set[int]:
    keep, todo = {first, last}, [(first, last)]
    while todo:
        a, b = todo.pop()
        if b - a < 2:
            continue
        chord = points[b] - points[a]
        length = float(np.hypot(*chord)) or 1.0
        between = points[a + 1 : b] - points[a]
        distance = np.abs(chord[0] * between[:, 1] - chord[1] * between[:, 0]) / length
        worst = int(np.argmax(distance))
        if distance[worst] > tolerance:
            middle = a + 1 + worst
            keep.add(middle)
            todo += [(a, middle), (middle, b)]
    return keep
