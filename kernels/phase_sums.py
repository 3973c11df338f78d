"""Phase sums: frames of a moving belt added onto a fixed object grid with linear weights (physics.md 4)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels._host import place_columns
from kernels.backends import BackendName, get
from kernels.settings import COLUMNS
from kernels.types import F32, F64, I32, U8, U16


class PhaseSums:
    """S_g(r, j) = Σ_{c∈g, n} W(u(c, n) − u_j) I(r, c, n) over a window that slides along the belt.

    u(c, n) = travel(n) − offset(c) is the belt coordinate that column c sees; u_j = origin + j h; W is the triangle of
    half width h. Memory is bounded by ``capacity_columns``: columns that are added to and not yet taken.
    """

    def __init__(
        self,
        rows: int,
        grid_um: float,
        column_offsets_um: npt.ArrayLike,
        capacity_columns: int = 512,
        *,
        backend: BackendName = "auto",
        threads: int = 1,
    ) -> None:
        self.rows = int(checks.number("rows", rows, 1, 1 << 16))
        self.grid_um = checks.number("grid_um", grid_um, 1e-3, 1e6)
        self._offsets: F64 = np.ascontiguousarray(column_offsets_um, dtype=np.float64)
        if self._offsets.shape != (COLUMNS,) or not np.isfinite(self._offsets).all():
            raise ValueError(f"column_offsets_um: shape is {self._offsets.shape}, expected ({COLUMNS},) finite µm")
        self._furthest = float(self._offsets.max())
        span = math.ceil(float(np.ptp(self._offsets)) / self.grid_um) + 2
        self.capacity = int(checks.number("capacity_columns", capacity_columns, span, 1 << 20))
        self._threads = int(checks.number("threads", threads, 1, 1024))
        self._sums = get(backend).window(self.rows, self.capacity)
        self._weights: F64 = np.zeros((2, COLUMNS, self.capacity))
        self._places = self._room(1)
        self._origin: float | None = None
        self._taken = 0
        self._used = 0  # columns from the first not yet taken to the last that was added to

    @staticmethod
    def _room(frames: int) -> tuple[I32, F32]:
        """For the places of all columns in so many frames."""
        return np.empty((frames, COLUMNS), dtype=np.int32), np.empty((frames, COLUMNS), dtype=np.float32)

    def begin(self, origin_um: float) -> None:
        """Start a window whose column 0 is at belt coordinate ``origin_um``; everything not taken is dropped."""
        self._origin = checks.number("origin_um", origin_um, -1e12, 1e12)
        self._taken = self._used = 0
        self._sums.clear()
        self._weights[...] = 0

    def _begun(self) -> float:
        if self._origin is None:
            raise ValueError("origin_um: begin() was not called before this window was used")
        return self._origin

    def add(self, frames: U16, travel_um: npt.ArrayLike, good_pixels: U8 | None = None) -> None:
        """Add frames (n, 2, rows, 128) or (2, rows, 128) uint16 whose mid-exposure belt travel is ``travel_um`` (n,).

        Parts that fall before the window or on taken columns are ignored. ``good_pixels``: (2, rows, 128) uint8; values
        of pixels that are 0 there are left out. Raises ValueError, before anything is added, when a frame reaches
        beyond the capacity: take columns first.
        """
        origin = self._begun()
        data = checks.frames("frames", frames, self.rows, COLUMNS)
        travel = np.ascontiguousarray(travel_um, dtype=np.float64)  # a number gets its axis
        if travel.shape != (len(data),):
            raise ValueError(f"travel_um: shape is {travel.shape}, expected ({len(data)},), one for each frame")
        good = None if good_pixels is None else checks.good_pixels("good_pixels", good_pixels, self.rows, COLUMNS)
        if len(self._places[0]) != len(data):
            self._places = self._room(len(data))
        lower, fraction = self._places
        last = place_columns(
            travel=travel,
            offsets=self._offsets,
            origin=origin,
            grid=self.grid_um,
            taken=self._taken,
            lower=lower,
            fraction=fraction,
            weights=self._weights,
        )
        if last >= self.capacity:
            raise ValueError(
                f"travel_um: {travel.max()} reaches column {self._taken + last}, but the window holds {self._taken} to "
                f"{self._taken + self.capacity - 1}; take the complete columns first"
            )
        if last >= 0:
            self._sums.add(data, lower, fraction, good, self._threads)
            self._used = max(self._used, last + 1)

    def complete_columns(self, travel_um: float) -> int:
        """Columns that no frame at or after belt travel ``travel_um`` can add to and that are not yet taken."""
        last = (travel_um - self._furthest - self._begun()) / self.grid_um - 1
        return max(0, math.floor(last) + 1 - self._taken)

    def take(self, columns: int) -> tuple[F32, F32, F32]:
        """Remove the next ``columns``: sums (4, 2, rows, n), Σ W (128, n) and Σ W² (128, n), float32."""
        self._begun()
        n = int(checks.number("columns", columns, 0, self.capacity))
        used = max(self._used, n)
        sums = self._sums.take(n, used)
        weights = self._weights[..., :n].astype(np.float32)
        self._weights[..., : used - n] = self._weights[..., n:used].copy()
        self._weights[..., used - n : used] = 0
        self._used = used - n
        self._taken += n
        return sums, weights[0].copy(), weights[1].copy()
