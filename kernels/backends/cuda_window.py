"""Phase sums that stay on the GPU: frames go in without waiting, complete columns come out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kernels.settings import BINS, COLUMNS, GROUPS
from kernels.types import F32, I32, U8, U16

if TYPE_CHECKING:
    from kernels.backends.cuda import CudaBackend

#: Frames of one copy and launch; more are done in parts, so that the page-locked buffers have a fixed size.
FRAMES = 16
#: Lines of one thread: TOGETHER of kernels/cuda/phase_sums.cu.
TOGETHER = 4


class CudaWindow:
    """Sums (lines, capacity, 4) of one window, as kernels/cuda/phase_sums.cu lays them out; a line is a row of a bin.

    The grid columns are a ring: taking columns moves its start instead of the sums.
    """

    def __init__(self, backend: CudaBackend, rows: int, capacity: int) -> None:
        self._gpu = backend
        self._rows, self._lines, self._capacity = rows, BINS * rows, capacity
        self._start = 0
        #: The mask that is on the GPU; None where all pixels are good.
        self._mask: U8 | None = None
        with backend.lock, backend.stream:
            self._sums = backend.cupy.empty(self._lines * capacity * GROUPS, dtype=np.float32)
            self._good = backend.cupy.empty(self._lines * COLUMNS, dtype=np.uint8).reshape((BINS, rows, COLUMNS))
            backend.memory.reserve("frames", FRAMES * BINS * rows * COLUMNS * np.dtype(np.uint16).itemsize)
        self.clear()
        self._all_good()

    def clear(self) -> None:
        """All sums are zero."""
        with self._gpu.lock:
            self._sums.data.memset_async(0, self._sums.nbytes, self._gpu.stream)

    def _all_good(self) -> None:
        self._good.data.memset_async(1, self._good.nbytes, self._gpu.stream)
        self._mask = None

    def _use(self, good: U8 | None) -> None:
        """The mask changes with a calibration, frames come a hundred times a second: copied only when it is another."""
        if good is None:
            if self._mask is not None:
                self._all_good()
        elif self._mask is None or not np.array_equal(good, self._mask):
            self._gpu.memory.copy("good", good, self._good)
            self._mask = good.copy()

    def add(self, frames: U16, lower: I32, fraction: F32, good: U8 | None, threads: int) -> None:
        """Add frames (n, 2, rows, 128) at places (n, 128). Returns before the GPU has done so."""
        memory = self._gpu.memory
        with self._gpu.lock, self._gpu.stream:
            self._use(good)
            for at in range(0, len(frames), FRAMES):
                part = slice(at, at + FRAMES)
                first = max(int(lower[part].min()), 0)
                cells = max(0, min(int(lower[part].max()) + 2, self._capacity) - first)
                self._gpu.launch(
                    "phase_sums",
                    -(-self._lines // TOGETHER) * cells * GROUPS,
                    memory.send("frames", frames[part]),
                    memory.send("lower", lower[part]),
                    memory.send("fraction", fraction[part]),
                    self._good,
                    np.int32(len(frames[part])),
                    np.int32(self._lines),
                    np.int32(self._capacity),
                    np.int32(self._start),
                    np.int32(first),
                    np.int32(cells),
                    self._sums,
                )

    def take(self, columns: int, used: int) -> F32:
        """The first ``columns`` (4, 2, rows, columns); the ring moves on. ``used`` has no meaning here."""
        memory = self._gpu.memory
        with self._gpu.lock, self._gpu.stream:
            taken = memory.device("taken", (GROUPS, BINS, self._rows, columns), np.float32)
            self._gpu.launch(
                "take_sums",
                self._lines * columns * GROUPS,
                self._sums,
                np.int32(self._lines),
                np.int32(self._capacity),
                np.int32(self._start),
                np.int32(columns),
                taken,
            )
            self._start = (self._start + columns) % self._capacity
            sums: F32 = memory.fetch(taken=taken)[0]
        return sums
