"""Memory for the results of one slab at a time, made once: fresh memory would be mapped and cleared for every slab."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import kernels
from edge.messages import CHANNELS
from firmware_bridge.scanner import BINS


class ResultBuffers:
    """Hands out the same memory every time. Slabs of ``rows`` and ``columns`` fit; for a larger one it grows."""

    def __init__(self, rows: int, columns: int) -> None:
        self._make(len(BINS) * rows * columns)

    def _make(self, pixels: int) -> None:
        # Written to at once: else the system would map the memory while the first slab of a bag waits.
        self._floats: npt.NDArray[np.float32] = np.full(2 * len(CHANNELS) * pixels, np.nan, np.float32)
        self._flags: npt.NDArray[np.uint16] = np.full(pixels, np.iinfo(np.uint16).max, np.uint16)

    def of(self, rows: int, columns: int) -> kernels.Retrieval:
        """A result of this size for ``kernels.retrieve(out=...)``; it is in the memory of the one before."""
        pixels = len(BINS) * rows * columns
        size = len(CHANNELS) * pixels
        if len(self._flags) < pixels:
            self._make(pixels)
        shape = (len(CHANNELS), len(BINS), rows, columns)
        return kernels.Retrieval(
            images=self._floats[:size].reshape(shape),
            sigma=self._floats[size : 2 * size].reshape(shape),
            flags=self._flags[:pixels].reshape(shape[1:]),
            backend="",
        )
