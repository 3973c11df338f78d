"""What detector correction, stepped retrieval and phase stepping need from a back end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kernels.types import F32, U8, U16


@dataclass(frozen=True)
class Stepping:
    """One phase stepping: samples (P, n), and (3, P) matrices of the fit (kernels/cuda/sinusoid.cuh)."""

    samples: F32
    projection: F32
    basis: F32


class AcquisitionBackend(Protocol):
    """What a back end computes besides the scanned retrieval; arguments are checked before."""

    def correct_frames(
        self, frames: U16, good: U8, dead_time: F32, exposure: F32, full_scale: int, paralysable: bool, threads: int
    ) -> tuple[F32, U8]:
        """Counts (n, 2, rows, 128) and flags (n, rows, 128); ``good`` and ``dead_time`` (rows, 128)."""
        ...

    def retrieve_stepped(
        self,
        samples: F32,
        curves: F32,
        positions: F32,
        pitch_um: float,
        exposure: F32,
        variance_factor: F32,
        prior: F32 | None,
        threads: int,
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, 2, rows, columns), flags; ``curves`` (3 G + 1, 2, rows, 1 or columns)."""
        ...

    def retrieve_sinusoid(
        self, sample: Stepping, reference: Stepping, period_um: float, variance_factor: float, threads: int
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, n) and flags (n,); a reference of no position is the perfect sinusoid."""
        ...
