"""Labels of pixels, and how far a target stands out of the noise, both from the scene and never from the images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from firmware_bridge.emulator.forward import TAU2, Canvas
from firmware_bridge.emulator.materials import energies_kev, material
from firmware_bridge.emulator.scene_parts import Part, Scene, part_path
from firmware_bridge.emulator.scenes import CHECK_MM, PROBE_KEV, SMALLEST_PATH_MM
from firmware_bridge.emulator.settings import EmulatorSettings
from kernels.types import F32, F64, U8, Retrieval
from training.dataset.scan_file import BENIGN, CLUTTER, NOTHING, THREAT

#: A pixel belongs to a sample where its path is this part of the sample's thickness, or SMALLEST_PATH_MM.
PART_OF_THICKNESS: Final = 0.5
#: Other things are labelled from this attenuation at PROBE_KEV.
LEAST_ATTENUATION: Final = 0.03
#: Detectability (in σ, over all pixels of a target) below which its dark-field is lost in the noise [Rose 1948].
ROSE: Final = 5.0


#: Parts of a container before its filling.
CONTAINER_PARTS: Final = 5


@dataclass(frozen=True)
class Grid:
    """Places of the pixel centres of a scan's images, mm from the item's leading edge and from the top of the field."""

    u_mm: F64
    y_mm: F64


def mask_of(scene: Scene, grid: Grid) -> U8:
    """Labels of pixels (rows, columns)."""
    shape = (len(grid.u_mm), len(grid.y_mm))
    mask = np.full(shape, NOTHING, np.uint8)
    probe = int(np.argmin(np.abs(energies_kev() - PROBE_KEV)))
    depth = np.zeros(shape, np.float32)
    samples: dict[int, npt.NDArray[np.bool_]] = {BENIGN: np.zeros(shape, bool), THREAT: np.zeros(shape, bool)}
    for part in scene.parts:
        window = part_path(part, grid.u_mm, grid.y_mm, scene.scale)
        if window is None:
            continue
        i, j, path = window
        at = (slice(i, i + path.shape[0]), slice(j, j + path.shape[1]))
        if part.label:
            enough = path >= min(SMALLEST_PATH_MM, PART_OF_THICKNESS * part.thickness_mm)
            samples[THREAT if part.label == "target" else BENIGN][at] |= enough
        else:
            depth[at] += np.float32(material(part.material).mu_per_mm[probe]) * path
    mask[depth >= LEAST_ATTENUATION] = CLUTTER
    for value, where in samples.items():
        mask[where] = value
    return np.ascontiguousarray(mask.T)


def covered(scene: Scene) -> float | None:
    """Part of the first sample that other things than its container and the bag's cloth lie over; None without one.

    Things count from :data:`LEAST_ATTENUATION`; looked up every :data:`CHECK_MM`.
    """
    place = next((k for k, part in enumerate(scene.parts) if part.label), None)
    if place is None:
        return None
    u0, u1, y0, y1 = scene.parts[place].shape.bounds()
    u = np.arange(u0, u1, CHECK_MM)
    y = np.arange(y0, y1, CHECK_MM)
    own = part_path(scene.parts[place], u, y, (1.0, 1.0))
    assert own is not None
    inside = np.zeros((len(u), len(y)), bool)
    inside[own[0] : own[0] + own[2].shape[0], own[1] : own[1] + own[2].shape[1]] = own[2] > 0
    probe = int(np.argmin(np.abs(energies_kev() - PROBE_KEV)))
    depth = np.zeros(inside.shape)
    for k, part in enumerate(scene.parts):
        # The container is the five parts before its filling (scene_bag.container), the cloth the first of all.
        if k == 0 or place - CONTAINER_PARTS <= k <= place:
            continue
        window = part_path(part, u, y, (1.0, 1.0))
        if window is not None:
            i, j, path = window
            depth[i : i + path.shape[0], j : j + path.shape[1]] += material(part.material).mu_per_mm[probe] * path
    return round(float((depth[inside] > LEAST_ATTENUATION).mean()), 3)


def contrast(
    scene: Scene, canvas: Canvas, settings: EmulatorSettings, grid: Grid, mask: U8, result: Retrieval
) -> dict[str, Any] | None:
    """What the target adds to the true images, against the noise (1-σ of the retrieval) of its pixels.

    ``pixel``: median of |difference| / σ over its pixels; ``target``: root of the sum of its squares over them, in
    which nothing is said about clutter; (low, high) each, for attenuation (−ln t) and dark-field (τ²). ``hidden``:
    the dark-field of neither bin reaches :data:`ROSE`. ``usable``: part of the target's pixels that are.
    None without a target.
    """
    targets = [(k, part) for k, part in enumerate(scene.parts) if part.label == "target"]
    if not targets:
        return None
    at = mask == THREAT
    difference = _difference(scene, canvas, settings, targets, grid)[:, :, at]  # (2, bins, n)
    t, sd_t, sd_dark = result.images[0][:, at], result.sigma[0][:, at], result.sigma[TAU2][:, at]
    with np.errstate(divide="ignore", invalid="ignore"):
        noise = np.stack([sd_t / np.maximum(t, 1e-3), sd_dark])
        ratio = np.abs(difference) / noise
    usable = np.isfinite(ratio).all((0, 1)) & (noise > 0).all((0, 1))
    ratio = ratio[:, :, usable].astype(np.float64)
    found: dict[str, Any] = {"usable": round(float(usable.mean()), 3) if usable.size else 0.0}
    for k, name in enumerate(("attenuation", "dark_field")):
        found[name] = {
            "pixel": [round(float(np.median(row)) if row.size else 0.0, 3) for row in ratio[k]],
            "target": [round(float(np.sqrt((row**2).sum())), 1) for row in ratio[k]],
        }
    found["hidden"] = max(found["dark_field"]["target"]) < ROSE
    return found


def _difference(
    scene: Scene, canvas: Canvas, settings: EmulatorSettings, targets: list[tuple[int, Part]], grid: Grid
) -> F32:
    """True −ln t and τ² with the targets minus without: (2, bins, rows, columns) at the pixel centres."""
    alone = Canvas(canvas.scanner, settings, canvas.u0_um, canvas.maps.shape[0])
    for index, part in targets:
        window = part_path(part, canvas.u_mm(), canvas.y_mm(), scene.scale)
        if window is not None:
            i, j, path = window
            # The same texture as in the scene (scene_parts.paint).
            alone.add(material(part.material), path, i, j, np.random.default_rng([*scene.seed, 7, index]))
    lines = np.clip(np.rint((grid.u_mm * 1e3 - canvas.u0_um) / canvas.du_um).astype(int), 0, len(canvas.maps) - 1)
    made = []
    for maps in (canvas.maps[lines], canvas.maps[lines] - alone.maps[lines]):
        alone.maps = np.ascontiguousarray(maps)
        made.append(alone.images()[:, :, (0, TAU2)])  # (lines, bins, 2, rows)
    step = np.stack([-np.log(made[0][:, :, 0] / made[1][:, :, 0]), made[0][:, :, 1] - made[1][:, :, 1]])
    binned = step.reshape(*step.shape[:3], len(grid.y_mm), -1).mean(-1)  # (2, lines, bins, rows)
    return np.ascontiguousarray(binned.transpose(0, 2, 3, 1), np.float32)
