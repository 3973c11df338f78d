"""What the routine needs of each device; the drivers of firmware_bridge have these shapes, so do scripted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    def t_ns(self) -> int:
        """Start of the exposure by the detector's clock, ns; 0 when it has none."""
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
    """One axis of a mask, µm or mrad."""

    def position(self) -> float:
        """Where it stands."""
        ...

    def move_to(self, target: float) -> None:
        """Move to ``target`` and return when there."""
        ...

    def limits(self) -> tuple[float, float]:
        """Lowest and highest place it may be sent to."""
        ...


class Source(Protocol):
    """The x-ray source."""

    def on(self, part: float = 1.0) -> None:
        """X-rays on at the scanner's voltage and ``part`` of its current; returns when both are reached."""
        ...

    def off(self) -> None:
        """X-rays off; returns when no more come."""
        ...

    def kilovolts(self) -> float:
        """Measured voltage, kV."""
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


@dataclass(frozen=True)
class Devices:
    """Everything that the routine moves, switches and reads. ``axes``: by name, at least those of :data:`AXES`."""

    detector: Detector
    axes: Mapping[str, Axis]
    belt: Belt
    source: Source


#: Axes of the sample mask, which is aligned to the detector mask: only how the two stand to each other counts.
AXES = ("m1_x", "m1_z", "m1_rot_z", "m1_rot_x")
