"""From a plan item to a scene: picks the builder, keeps the promise about targets, writes the truth.

A labelled target lies inside the field, is at least :data:`SMALLEST_TARGET_MM2` large, and enough light reaches the
detector behind enough of it. Scenes that break the promise are drawn again with the next sub-seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from firmware_bridge import reference_strips, reference_tray
from firmware_bridge.emulator import scene_dryer, scene_laptop
from firmware_bridge.emulator.materials import energies_kev, material
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.scene_bag import FLOOR_MM, bag
from firmware_bridge.emulator.scene_parts import (
    DESIGN_HEIGHT_MM,
    Part,
    Scene,
    describe,
    paint,
    part_path,
    paths_on,
    scene_scale,
)
from firmware_bridge.emulator.scene_shapes import Box
from firmware_bridge.emulator.scene_wires import Rng
from firmware_bridge.emulator.settings import field_height_mm
from firmware_bridge.scanner import Scanner

__all__ = ["Scene", "SceneError", "build", "paint"]

Builder = Callable[[Rng, str | None], tuple[float, list[Part]]]
BUILDERS: dict[str, Builder] = {
    "bag": bag,
    "laptop": scene_laptop.laptop,
    "phone": scene_laptop.phone,
    "hair_dryer": scene_dryer.hair_dryer,
}
#: A target counts where its path is at least this long; it must do so over this area (design mm²), and through this
#: fraction of that area at least this transmission at PROBE_KEV must remain.
SMALLEST_PATH_MM, SMALLEST_TARGET_MM2 = 2.0, 150.0
CLEAR_FRACTION, CLEAR_TRANSMISSION, PROBE_KEV = 0.5, 0.02, 50.0
ATTEMPTS = 40
#: Coarse grid on which the promise is checked, mm.
CHECK_MM = 1.5
#: Belt of an item without anything on it, and steps of a reference container, mm.
EMPTY_MM, STEP_MM = 80.0, 14.0
#: How far a clipped bag is shifted out of the field, as a fraction of its height.
CLIP_SHIFT = 0.18


class SceneError(RuntimeError):
    """No scene keeping the promise was found; names the item."""


def target_is_visible(parts: list[Part], length: float) -> bool:
    """Check the promise about the target of a composed scene (True when there is no target)."""
    targets = [part for part in parts if part.label == "target"]
    if not targets:
        return True
    u = np.arange(0.0, length, CHECK_MM)
    y = np.arange(0.5 * CHECK_MM, DESIGN_HEIGHT_MM, CHECK_MM)
    covered = sum(paths_on(targets, u, y).values()) >= SMALLEST_PATH_MM
    if float(np.count_nonzero(covered)) * CHECK_MM**2 < SMALLEST_TARGET_MM2:
        return False
    probe = int(np.argmin(np.abs(energies_kev() - PROBE_KEV)))
    depth = sum(material(name).mu_per_mm[probe] * path for name, path in paths_on(parts, u, y).items())
    clear = np.exp(-np.asarray(depth)[covered]) >= CLEAR_TRANSMISSION
    return float(clear.mean()) >= CLEAR_FRACTION


def _shifted(parts: list[Part], rng: Rng) -> list[Part]:
    """The same parts, moved down so far that the bag leaves the field."""
    shift = CLIP_SHIFT * DESIGN_HEIGHT_MM * (1.0 if rng.random() < 0.5 else -1.0)
    return [Part(p.material, p.thickness_mm, p.shape.moved(0.0, shift), p.label) for p in parts]


def _compose(item: PlanItem) -> tuple[float, list[Part], int]:
    builder = BUILDERS[item.kind]
    if item.target is not None:
        material(item.target)  # names the known ones when it is not among them
    for attempt in range(ATTEMPTS):
        rng = np.random.default_rng([item.seed, sum(map(ord, item.kind)), attempt])
        length, parts = builder(rng, item.target)
        if item.faults.clip:
            parts = _shifted(parts, rng)
        if (item.target is not None) != any(part.label == "target" for part in parts):
            continue
        if target_is_visible(parts, length):
            return length, parts, attempt
    raise SceneError(
        f"{item.kind} seed {item.seed}: no place for a visible target of {item.target} in {ATTEMPTS} attempts; "
        "use another seed"
    )


def _reference(item: PlanItem, scale: tuple[float, float]) -> tuple[float, list[Part]]:
    """Steps of one material on an acrylic floor; the floor is free at both ends, as background."""
    if item.target is None:
        raise ValueError("plan item of kind 'reference': target is missing; name the material of the container")
    length = STEP_MM * (len(item.thicknesses_mm) + 2)
    middle = DESIGN_HEIGHT_MM / 2
    parts = [Part("acrylic", FLOOR_MM, Box(length / 2, middle, length, DESIGN_HEIGHT_MM))]
    for k, thickness in enumerate(item.thicknesses_mm):
        box = Box((k + 1.5) * STEP_MM, middle, STEP_MM, 0.9 * DESIGN_HEIGHT_MM)
        parts.append(Part(item.target, thickness, box, "step"))
    return length, parts


def _tray(scanner: Scanner) -> tuple[float, list[Part]]:
    """The reference absorber tray, life-size in every field."""
    height = field_height_mm(scanner)
    parts = []
    for region in reference_tray.layout(height):
        box = Box(
            (region.u0_mm + region.u1_mm) / 2,
            (region.y0_mm + region.y1_mm) / 2,
            region.u1_mm - region.u0_mm,
            region.y1_mm - region.y0_mm,
        )
        parts += [Part(name, thickness, box, "absorber") for name, thickness in region.layers]
    return reference_tray.length_mm(height), parts


def _strip(scanner: Scanner, kind: str) -> tuple[float, list[Part]]:
    """One of the strips of known materials, life-size in every field."""
    height = field_height_mm(scanner)
    parts = []
    for k, (name, thickness) in enumerate(reference_strips.STRIPS[kind]):
        begin, end = reference_strips.block_mm(k)
        parts.append(Part(name, thickness, Box((begin + end) / 2, height / 2, end - begin, 2 * height), "step"))
    return reference_strips.length_mm(kind), parts


def build(scanner: Scanner, item: PlanItem) -> Scene:
    """Compose the item's scene for this scanner's field. Same item and scanner, same scene.

    Raises ValueError for an unknown material and :class:`SceneError` when no visible target can be placed.
    """
    scale = scene_scale(scanner)
    attempt = 0
    parts: list[Part]
    if item.kind == "empty":
        length, parts = EMPTY_MM, []
    elif item.kind == "tray":
        scale = (1.0, 1.0)
        length, parts = _tray(scanner)
    elif item.kind in reference_strips.STRIPS:
        scale = (1.0, 1.0)
        length, parts = _strip(scanner, item.kind)
    elif item.kind == "reference":
        length, parts = _reference(item, scale)
    else:
        length, parts, attempt = _compose(item)
    length_mm = length * scale[0]
    truth = label_scene(scanner, item, scale, length_mm, parts)
    return Scene(length_mm, tuple(parts), scale, (item.seed, sum(map(ord, item.kind)), attempt), truth)


def label_scene(
    scanner: Scanner, item: PlanItem, scale: tuple[float, float], length_mm: float, parts: list[Part]
) -> dict[str, Any]:
    """Labels of a scene made of ``parts`` for ``item``, ready for JSON."""
    labels = [_measured(part, scanner, scale, length_mm) for part in parts if part.label]
    targets = [label for label in labels if label["label"] == "target"]
    assert item.kind == "reference" or len(targets) == (item.target is not None)
    return {
        "simulated": True,
        "kind": item.kind,
        "seed": item.seed,
        "tag": item.tag,
        "target": targets[0] if targets else None,
        "objects": labels,
        "length_mm": round(float(length_mm), 3),
        "field_mm": round(field_height_mm(scanner), 3),
        "object_grid_um": scanner.object_grid_um,
        "clipped": item.faults.clip,
    }


def _measured(part: Part, scanner: Scanner, scale: tuple[float, float], length_mm: float) -> dict[str, Any]:
    """Label of a part with the path lengths that really lie in the field."""
    label = describe(part, scanner, scale, length_mm)
    u = np.arange(0.5 * CHECK_MM, length_mm / scale[0], CHECK_MM) * scale[0]
    y = np.arange(0.5 * CHECK_MM, DESIGN_HEIGHT_MM, CHECK_MM) * scale[1]
    window = part_path(part, u, y, scale)
    inside = window[2][window[2] > 0] if window is not None else np.zeros(0)
    label["mean_path_mm"] = round(float(inside.mean()), 3) if inside.size else 0.0
    label["area_mm2"] = round(float(inside.size) * CHECK_MM**2 * scale[0] * scale[1], 2)
    return label
