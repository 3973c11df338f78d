"""From a plan item to expected counts, and from expected counts to frames.

Two steps, so that a bag costs a second once and a frame costs a millisecond: :func:`prepare` computes the mean counts
of each group on a fine grid along the belt; :class:`FrameRenderer` gathers what each column sees in one exposure and
draws Poisson counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_bridge.emulator import _native, forward, scenes
from firmware_bridge.emulator.alignment import Alignment
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner

F32 = npt.NDArray[np.float32]
U16 = npt.NDArray[np.uint16]

#: Grid lines prepared before the leading and after the trailing edge: refraction and interpolation reach over an edge.
MARGIN = 4


@dataclass(frozen=True, eq=False)
class PreparedScene:
    """Mean counts of one item on the belt.

    ``expected``: (2 bins, n_u, 4 groups, rows) float32, mean counts of one frame-pixel of unit gain when its line of
    sight crosses the belt at ``lead + u0_um + k * du_um``; ``lead`` is the belt coordinate of the leading edge.
    ``length_um``: leading to trailing edge. ``truth``: JSON-able labels (see docs/physics.md).
    """

    length_um: float
    u0_um: float
    du_um: float
    expected: F32
    truth: dict[str, Any]


def air(scanner: Scanner, settings: EmulatorSettings, masks: Alignment | float) -> F32:
    """Mean counts per frame-pixel of unit gain without object: (2, 4, rows) float32.

    ``masks``: how they stand, or only the place x0 of M1, µm; so everywhere in this module.
    """
    images = np.zeros((1, 2, 4, scanner.rows), dtype=np.float32)
    images[:, :, (0, 3)] = 1.0
    out = np.empty((2, 1, GROUPS, scanner.rows), dtype=np.float32)
    forward.expected_counts(scanner, settings, images, masks, out)
    return np.ascontiguousarray(out[:, 0])


def draw(scanner: Scanner, settings: EmulatorSettings, item: PlanItem) -> tuple[forward.Canvas, scenes.Scene]:
    """Draw the item's scene on a canvas; the truth of the scene comes with it."""
    scene = scenes.build(scanner, item)
    return draw_scene(scanner, settings, scene), scene


def draw_scene(scanner: Scanner, settings: EmulatorSettings, scene: scenes.Scene) -> forward.Canvas:
    """Draw a scene, composed by whomever, on a canvas."""
    n_u = math.ceil(scene.length_mm * 1e3 / settings.fine_grid_um) + 2 * MARGIN + 1
    canvas = forward.Canvas(scanner, settings, -MARGIN * settings.fine_grid_um, n_u)
    scenes.paint(scene, canvas)
    return canvas


def prepare(scanner: Scanner, settings: EmulatorSettings, item: PlanItem, masks: Alignment | float) -> PreparedScene:
    """Draw the item's scene and compute its mean counts with the masks as given; takes about a second."""
    return computed(*draw(scanner, settings, item), settings, masks)


def computed(
    canvas: forward.Canvas, scene: scenes.Scene, settings: EmulatorSettings, masks: Alignment | float
) -> PreparedScene:
    """Mean counts of a scene that was drawn, with the masks as given."""
    return PreparedScene(
        length_um=scene.length_mm * 1e3,
        u0_um=canvas.u0_um,
        du_um=canvas.du_um,
        expected=forward.canvas_counts(canvas, settings, masks),
        truth=scene.truth,
    )


def pixel_gains(scanner: Scanner, settings: EmulatorSettings) -> tuple[F32, npt.NDArray[np.uint32]]:
    """Gain of every pixel, (2, rows, COLUMNS) float32 with 0 for a dead one, and flat indices of the hot ones."""
    rng = np.random.default_rng([settings.seed, 2])
    shape = (scanner.rows, COLUMNS)
    column = rng.normal(0.0, settings.gain_spread, COLUMNS)
    spread = 1.0 + column[None, None, :] + rng.normal(0.0, 0.5 * settings.gain_spread, (2, *shape))
    gain: F32 = np.clip(spread, 0.2, 2.0).astype(np.float32)
    fate = rng.random(shape)
    gain[:, fate < settings.dead_pixels] = 0.0
    hot = np.flatnonzero(fate >= 1.0 - settings.hot_pixels)
    return gain, np.concatenate([hot, hot + fate.size]).astype(np.uint32)


class FrameRenderer:
    """Draws the frames of one emulated scanner. Same arguments and same calls give the same counts."""

    def __init__(
        self, scanner: Scanner, settings: EmulatorSettings, masks: Alignment | float, seed: int | None = None
    ) -> None:
        self.scanner = scanner
        self.settings = settings
        gain, hot = pixel_gains(scanner, settings)
        # An object behind the nominal plane is crossed by the lines of sight further apart.
        spread = 1.0 + settings.plane_offset_mm / 1e3 / scanner.source_object_m
        offsets = [spread * offset for offset in scanner.column_offsets_um()]
        noise = settings.seed if seed is None else seed
        self._core = _native.FrameCore(offsets, gain, hot.tolist(), settings.hot_counts, noise)
        self._air = air(scanner, settings, masks)

    def set_mask(self, masks: Alignment | float) -> None:
        """Move the masks: changes what is seen beside the prepared scenes (which stay as they were made)."""
        self._air = air(self.scanner, self.settings, masks)

    def frame(
        self,
        start_um: float,
        stop_um: float,
        segments: Sequence[tuple[float, PreparedScene]] = (),
        scale: float = 1.0,
        out: U16 | None = None,
    ) -> U16:
        """One exposure while the belt travels from ``start_um`` to ``stop_um`` (equal when it stands still).

        ``segments``: (lead, scene) of what lies on the belt, not overlapping. ``scale``: tube output relative to
        nominal. Returns counts (2, rows, 128) uint16, written to ``out`` when given. Releases the GIL.
        """
        if out is None:
            out = np.empty((2, self.scanner.rows, COLUMNS), dtype=np.uint16)
        parts = [(lead + scene.u0_um, scene.du_um, scene.expected) for lead, scene in segments]
        self._core.frame(start_um, stop_um, parts, self._air, scale, out)
        return out
