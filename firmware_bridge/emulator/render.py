"""From a plan item to expected counts, and from expected counts to frames.

Two steps, so that a bag costs a second once and a frame costs a millisecond: :func:`prepare` computes the mean counts
of each group on a fine grid along the belt; :class:`FrameRenderer` gathers what each column sees in one exposure and
draws Poisson counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import Scanner

F32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
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


def air(scanner: Scanner, settings: EmulatorSettings, x0_um: float) -> F32:
    """Mean counts per frame-pixel of unit gain without object, mask M1 at ``x0_um``: (2, 4, rows) float32."""
    ...


def prepare(scanner: Scanner, settings: EmulatorSettings, item: PlanItem, x0_um: float) -> PreparedScene:
    """Draw the item's scene and compute its mean counts for mask position ``x0_um``; takes about a second."""
    ...


class FrameRenderer:
    """Draws the frames of one emulated scanner. Same arguments and same calls give the same counts."""

    def __init__(self, scanner: Scanner, settings: EmulatorSettings, x0_um: float, seed: int | None = None) -> None: ...

    def set_mask(self, x0_um: float) -> None:
        """Move M1: changes what the columns see beside the prepared scenes (which keep the x0 they were made for)."""

    def frame(
        self,
        start_um: float,
        stop_um: float,
        segments: Sequence[tuple[float, PreparedScene]] = (),
        scale: float = 1.0,
        out: npt.NDArray[np.uint16] | None = None,
    ) -> npt.NDArray[np.uint16]:
        """One exposure while the belt travels from ``start_um`` to ``stop_um`` (equal when it stands still).

        ``segments``: (lead, scene) of what lies on the belt, not overlapping. ``scale``: tube output relative to
        nominal. Returns counts (2, rows, 128) uint16, written to ``out`` when given. Releases the GIL.
        """
        ...
