"""A scene is a list of parts; this file knows how to put them on a canvas and how to label them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_bridge.emulator.forward import Canvas
from firmware_bridge.emulator.materials import Material, material
from firmware_bridge.emulator.scene_shapes import Shape
from firmware_bridge.emulator.settings import field_height_mm
from firmware_bridge.scanner import NATIVE_ROWS, Scanner

F32 = npt.NDArray[np.float32]

#: Scenes are designed for the whole field of the reference scanner, mm high.
DESIGN_HEIGHT_MM = Scanner(row_binning=1, native_rows=NATIVE_ROWS).row_pitch_um * NATIVE_ROWS / 1e3
#: On a smaller field scenes shrink with it, but along the belt never below this.
SMALLEST_BELT_SCALE = 0.25


@dataclass(frozen=True)
class Part:
    """One piece of material; path length = ``thickness_mm`` × the shape's profile. ``label``: goes into the truth."""

    material: str
    thickness_mm: float
    shape: Shape
    label: str = ""


@dataclass(frozen=True)
class Scene:
    """Parts in design coordinates; multiply by ``scale`` (along the belt, down the field) for mm on the belt."""

    length_mm: float
    parts: tuple[Part, ...]
    scale: tuple[float, float] = (1.0, 1.0)
    seed: tuple[int, ...] = (0,)
    truth: dict[str, Any] = field(default_factory=dict)


def scene_scale(scanner: Scanner) -> tuple[float, float]:
    """Scale of scenes along the belt and down the field for this scanner's field of view."""
    down = field_height_mm(scanner) / DESIGN_HEIGHT_MM
    return max(down, SMALLEST_BELT_SCALE), down


def part_path(
    part: Part, u_mm: npt.NDArray[np.float64], y_mm: npt.NDArray[np.float64], scale: tuple[float, float]
) -> tuple[int, int, F32] | None:
    """Path length of one part on the grid (u, y): first u, first y and the window (n, m) mm; None when outside."""
    du, dy = (u_mm[1] - u_mm[0]) / scale[0], (y_mm[1] - y_mm[0]) / scale[1]
    u, y = u_mm / scale[0], y_mm / scale[1]
    u0, u1, y0, y1 = part.shape.bounds()
    i0, i1 = (int(i) for i in np.searchsorted(u, (u0 - du, u1 + du)))
    j0, j1 = (int(j) for j in np.searchsorted(y, (y0 - dy, y1 + dy)))
    if i0 == i1 or j0 == j1:
        return None
    grid_u = u[i0:i1, None].astype(np.float32)
    grid_y = y[None, j0:j1].astype(np.float32)
    profile = part.shape.profile(grid_u, grid_y, (float(du), float(dy)))
    return i0, j0, np.float32(part.thickness_mm) * np.broadcast_to(profile, (i1 - i0, j1 - j0))


def paint(scene: Scene, canvas: Canvas) -> None:
    """Put every part on the canvas, each with its own reproducible texture."""
    u_mm, y_mm = canvas.u_mm(), canvas.y_mm()
    for index, part in enumerate(scene.parts):
        window = part_path(part, u_mm, y_mm, scene.scale)
        if window is not None:
            i0, j0, path = window
            rng = np.random.default_rng([*scene.seed, 7, index])
            canvas.add(material(part.material), path, i0, j0, rng)


def describe(part: Part, scanner: Scanner, scale: tuple[float, float], length_mm: float) -> dict[str, Any]:
    """Label of one part: material, path length and box inside the field and the item's length."""
    u0, u1, y0, y1 = part.shape.bounds()
    height = field_height_mm(scanner)
    box = [
        max(0.0, u0 * scale[0]),
        min(length_mm, u1 * scale[0]),
        max(0.0, y0 * scale[1]),
        min(height, y1 * scale[1]),
    ]
    grid_mm, row_mm = scanner.object_grid_um / 1e3, scanner.row_pitch_um / 1e3
    known: Material = material(part.material)
    return {
        "label": part.label,
        "material": part.material,
        "class": known.kind,
        "path_mm": round(part.thickness_mm, 3),
        "box_mm": [round(float(value), 3) for value in box],
        "box_px": [int(box[0] / grid_mm), int(box[1] / grid_mm), int(box[2] / row_mm), int(box[3] / row_mm)],
    }


def paths_on(parts: Sequence[Part], u_mm: npt.NDArray[np.float64], y_mm: npt.NDArray[np.float64]) -> dict[str, F32]:
    """Path length of each material on a coarse grid in design coordinates: {name: (n_u, n_y) mm}."""
    total: dict[str, F32] = {}
    for part in parts:
        window = part_path(part, u_mm, y_mm, (1.0, 1.0))
        if window is None:
            continue
        i0, j0, path = window
        layer = total.setdefault(part.material, np.zeros((len(u_mm), len(y_mm)), dtype=np.float32))
        layer[i0 : i0 + path.shape[0], j0 : j0 + path.shape[1]] += path
    return total
