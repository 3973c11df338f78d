"""What the routine needs of each device; the drivers of firmware_bridge have these shapes, so do scripted ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Frame(Protocol):
    """One whole exposure."""

    @property
    def number(self) -> int:
        """Counts the detector's frames; a gap is a lost frame."""
        ...

    @property
    def encoder_start(self) -> int:
        """Belt encoder at the start of the exposure."""
        ...

    @property
    def encoder_stop(self) -> int:
        """Belt encoder at its end."""
        ...

    @property
    def thresholds_ev(self) -> tuple[int, int]:
        """Energy thresholds T1 and T2, eV."""
        ...

    @property
    def counts(self) -> npt.NDArray[np.uint16]:
        """Counts (2 bins, rows, 128 columns)."""
        ...


class Detector(Protocol):
    """A running stream of frames."""

    def receive(self, timeout_s: float) -> Sequence[Frame]:
        """Frames that arrived, in order of number; empty after ``timeout_s`` without one."""
        ...


class Axis(Protocol):
    """The x axis of the sample mask."""

    def position_um(self) -> float:
        """Where it stands, µm."""
        ...

    def move_to_um(self, x: float) -> None:
        """Move to ``x`` µm and return when there."""
        ...


class BeltEvent(Protocol):
    """Something that the belt controller saw."""

    @property
    def kind(self) -> str:
        """``bag_entry``, ``bag_exit`` and others."""
        ...

    @property
    def encoder(self) -> int:
        """Belt encoder when it happened."""
        ...


class Belt(Protocol):
    """The belt and its light barrier."""

    def poll(self) -> Sequence[BeltEvent]:
        """Events since the last call, in order; events of an earlier program may come again."""
        ...

    def start_belt(self) -> None:
        """Let the belt run."""
        ...

    def stop_belt(self) -> None:
        """Stop the belt."""
        ...
