"""Phase sums: frames of a moving belt added onto a fixed object grid with linear weights (physics.md 4)."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.settings import BINS, COLUMNS, GROUPS
from kernels.types import F32, F64, U16


class PhaseSums:
    """S_g(r, j) = Σ_{c∈g, n} W(u(c, n) − u_j) I(r, c, n) over a window that slides along the belt.

    u(c, n) = travel(n) − offset(c) is the belt coordinate that column c sees; u_j = origin + j h. Memory is bounded
    by ``capacity_columns``: columns that are added to and not yet taken. Bad pixels are left out of the sums.
    """

    def __init__(
        self, rows: int, grid_um: float, column_offsets_um: npt.ArrayLike, capacity_columns: int = 512, threads: int = 1
    ) -> None:
        self.rows = int(checks.number("rows", rows, 1, 1 << 16))
        self.grid_um = checks.number("grid_um", grid_um, 1e-3, 1e6)
        self._offsets: F64 = np.ascontiguousarray(column_offsets_um, dtype=np.float64)
        if self._offsets.shape != (COLUMNS,) or not np.isfinite(self._offsets).all():
            raise ValueError(f"column_offsets_um: shape is {self._offsets.shape}, expected ({COLUMNS},) finite µm")
        span = math.ceil(float(np.ptp(self._offsets)) / self.grid_um) + 2
        self.capacity = int(checks.number("capacity_columns", capacity_columns, span, 1 << 20))
        self._threads = int(checks.number("threads", threads, 1, 1024))
        self._sums: F32 = np.zeros((GROUPS, BINS, self.rows, self.capacity), dtype=np.float32)
        self._weights: F64 = np.zeros((2, COLUMNS, self.capacity))
        self._origin: float | None = None
        self._taken = 0

    def begin(self, origin_um: float) -> None:
        """Start a window whose column 0 is at belt coordinate ``origin_um``; everything not taken is dropped."""
        self._origin = checks.number("origin_um", origin_um, -1e12, 1e12)
        self._taken = 0
        self._sums[...] = 0
        self._weights[...] = 0

    def _begun(self) -> float:
        if self._origin is None:
            raise ValueError("origin_um: begin() was not called before this window was used")
        return self._origin

    def add(self, frames: U16, travel_um: npt.ArrayLike, good_pixels: npt.NDArray[np.uint8] | None = None) -> None:
        """Add frames (n, 2, rows, 128) or (2, rows, 128) uint16 whose mid-exposure belt travel is ``travel_um`` (n,).

        Parts that fall before the window or on taken columns are ignored. ``good_pixels``: (2, rows, 128) uint8.
        Raises ValueError when a frame reaches beyond the capacity: take columns first.
        """
        origin = self._begun()
        data = checks.frames("frames", frames, self.rows, COLUMNS)
        travel = np.atleast_1d(np.asarray(travel_um, dtype=np.float64))
        if travel.shape != (len(data),) or not np.isfinite(travel).all():
            raise ValueError(f"travel_um: shape is {travel.shape}, expected ({len(data)},) finite µm")
        good = checks.good_pixels("good_pixels", good_pixels, self.rows, COLUMNS) != 0
        for frame, s in zip(data, travel, strict=True):
            place = (s - self._offsets - origin) / self.grid_um
            lower = np.floor(place).astype(np.int64)
            if lower.max() + 1 >= self._taken + self.capacity:
                raise ValueError(
                    f"travel_um: {s} reaches column {lower.max() + 1}, but the window holds "
                    f"{self._taken} to {self._taken + self.capacity - 1}; take the complete columns first"
                )
            masked = frame * good
            for column, weight in ((lower, 1 - (place - lower)), (lower + 1, place - lower)):
                live = np.flatnonzero((column >= self._taken) & (weight > 0))
                slot = column[live] - self._taken
                w = weight[live]
                np.add.at(self._weights[0], (live, slot), w)
                np.add.at(self._weights[1], (live, slot), w**2)
                for c, j, x in zip(live, slot, w.astype(np.float32), strict=True):
                    self._sums[c % GROUPS, :, :, j] += masked[:, :, c] * x

    def complete_columns(self, travel_um: float) -> int:
        """Columns that no frame at or after belt travel ``travel_um`` can add to and that are not yet taken."""
        last = (travel_um - float(self._offsets.max()) - self._begun()) / self.grid_um - 1
        return max(0, math.floor(last) + 1 - self._taken)

    def take(self, columns: int) -> tuple[F32, F32, F32]:
        """Remove the next ``columns``: sums (4, 2, rows, n), Σ W (128, n) and Σ W² (128, n), float32."""
        self._begun()
        n = int(checks.number("columns", columns, 0, self.capacity))
        sums = np.ascontiguousarray(self._sums[..., :n])
        weights = self._weights[..., :n].astype(np.float32)
        keep = self.capacity - n
        self._sums[..., :keep] = self._sums[..., n:]
        self._sums[..., keep:] = 0
        self._weights[..., :keep] = self._weights[..., n:]
        self._weights[..., keep:] = 0
        self._taken += n
        return sums, np.ascontiguousarray(weights[0]), np.ascontiguousarray(weights[1])
