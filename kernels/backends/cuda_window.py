"""Phase sums that stay on the GPU: frames go in without waiting, complete columns come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.settings import BINS, COLUMNS, GROUPS, ROW_BLOCK
from kernels.types import F32, I32, U8, U16

if TYPE_CHECKING:
    from kernels.backends.cuda import CudaBackend

#: Frames of one copy and launch; more are done in parts, so that the page-locked buffers have a fixed size.
FRAMES = 16


class CudaWindow:
    """Sums (row blocks, capacity, 8, 16) of one window, as kernels/cuda/phase_sums.cuh lays them out."""

    def __init__(self, backend: CudaBackend, rows: int, capacity: int) -> None:
        self._gpu = backend
        self._rows, self._capacity = rows, capacity
        self._lanes = -(-rows // ROW_BLOCK) * GROUPS * BINS * ROW_BLOCK
        self._all: U8 = np.ones((BINS, rows, COLUMNS), dtype=np.uint8)
        with backend.lock, backend.stream:
            self._sums = backend.cupy.empty(self._lanes * capacity, dtype=np.float32)
            backend.memory.reserve("frames", FRAMES * BINS * rows * COLUMNS * np.dtype(np.uint16).itemsize)
        self.clear()

    def clear(self) -> None:
        """All sums are zero."""
        with self._gpu.lock:
            self._sums.data.memset_async(0, self._sums.nbytes, self._gpu.stream)

    def add(self, frames: U16, lower: I32, fraction: F32, good: U8 | None, threads: int) -> None:
        """Add frames (n, 2, rows, 128) at places (n, 128). Returns before the GPU has done so."""
        memory = self._gpu.memory
        with self._gpu.lock, self._gpu.stream:
            mask = memory.send("good", self._all if good is None else good)
            for first in range(0, len(frames), FRAMES):
                part = slice(first, first + FRAMES)
                self._gpu.launch(
                    "phase_sums",
                    GROUPS * BINS * self._rows,
                    memory.send("frames", frames[part]),
                    memory.send("lower", lower[part]),
                    memory.send("fraction", fraction[part]),
                    mask,
                    np.int32(len(frames[part])),
                    np.int32(self._rows),
                    np.int32(self._capacity),
                    self._sums,
                )

    def take(self, columns: int, used: int) -> F32:
        """The first ``columns`` (4, 2, rows, columns); the rest of the ``used`` ones moves to the front."""
        memory = self._gpu.memory
        with self._gpu.lock, self._gpu.stream:
            taken = memory.device("taken", (GROUPS, BINS, self._rows, columns), np.float32)
            self._gpu.launch(
                "take_sums",
                self._lanes if columns else 0,
                self._sums,
                np.int32(self._rows),
                np.int32(self._capacity),
                np.int32(used),
                np.int32(columns),
                taken,
            )
            sums: F32 = memory.fetch(taken=taken)[0]
        return sums
