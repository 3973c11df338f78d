"""What the readout engine needs from its neighbours: frames, an accumulator, a pixel mask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
U8 = npt.NDArray[np.uint8]


class FrameLike(Protocol):
    """What the engine needs of :class:`firmware_bridge.detector.Frame`."""

    @property
    def number(self) -> int:
        """Counts the exposures."""

    @property
    def t_ns(self) -> int:
        """Start of the exposure, ns since 1970."""

    @property
    def exposure_ns(self) -> int:
        """Length of the exposure, ns."""

    @property
    def encoder_start(self) -> int:
        """Belt encoder at its start, counts."""

    @property
    def encoder_stop(self) -> int:
        """Belt encoder at its end, counts."""

    @property
    def counts(self) -> npt.NDArray[np.uint16]:
        """Photon counts (2, rows, 128)."""


class Sums(Protocol):
    """The part of :class:`kernels.PhaseSums` that the engine uses."""

    def begin(self, origin_um: float) -> None:
        """Forget everything; column 0 lies at this belt coordinate."""

    def add(self, frames: npt.NDArray[np.uint16], travel_um: npt.NDArray[np.float64], good_pixels: U8 | None) -> None:
        """Sum frames (n, 2, rows, 128) taken at belt travels (n,)."""

    def complete_columns(self, travel_um: float) -> int:
        """Columns not yet taken that no frame from this travel on can change."""

    def take(self, n: int) -> tuple[F32, F32, F32]:
        """Phase sums (4, 2, rows, n), weights and squared weights (128, n) of the next ``n`` columns."""


@dataclass(frozen=True)
class PixelMask:
    """Good pixels of one calibration: uint8 (2, rows, 128), or None to use all."""

    calibration_id: str = ""
    good_pixels: U8 | None = None


#: What is used while there is no calibration.
ALL_PIXELS = PixelMask()
