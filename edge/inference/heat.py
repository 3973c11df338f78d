"""Planes to heat, tile by tile as columns arrive, so that little is left to do when a bag ends.

A network is convolutional: heat depends on the pixels within its halo only. A tile is run with that much of its
neighbours on both sides, and what lies in the halo is dropped; so the tiles together are the heat of one pass over the
whole bag. Only the first and the last tile touch a border, which is the bag's own.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from edge.inference.manifest import Pooling
from edge.inference.runtime import Runtime
from kernels.types import F32

#: Columns of heat that one run adds, in pixels; rounded up to whole cells.
TILE = 128


class HeatStream:
    """Heat of one bag. ``rows``, ``halo``, ``tile`` in pixels; whole cells are filled up with zeros: not valid."""

    def __init__(self, runtime: Runtime, rows: int, stride: int, halo: int, tile: int = TILE) -> None:
        self._runtime, self._stride, self._halo = runtime, stride, halo
        self._tile = -(-tile // stride) * stride
        self._rows = -(-rows // stride) * stride
        self._waiting: list[F32] = []
        #: First column that the waiting planes hold, first one whose heat is still wanted, and how many came.
        self._from = self._wanted = self._came = 0
        self._done: list[F32] = []

    def add(self, planes: F32) -> None:
        """Take the next columns (C, rows, n), and run every tile whose halo is complete."""
        self._waiting.append(planes)
        self._came += planes.shape[2]
        while self._came - self._wanted >= self._tile + self._halo:
            self._run(self._wanted + self._tile, self._wanted + self._tile + self._halo)

    def finish(self) -> F32:
        """Heat of the whole bag (cells of rows, cells of columns)."""
        if self._wanted < self._came:
            last = -(-self._came // self._stride) * self._stride
            self._run(last, last)
        if not self._done:
            return np.zeros((self._rows // self._stride, 0), np.float32)
        return np.concatenate(self._done, axis=1)

    def _run(self, wanted_to: int, seen_to: int) -> None:
        """Add the heat of the columns up to ``wanted_to`` from planes up to ``seen_to``, zeros beyond what came."""
        held = self._waiting[0] if len(self._waiting) == 1 else np.concatenate(self._waiting, axis=2)
        first = max(0, self._wanted - self._halo)
        part = held[..., first - self._from : seen_to - self._from]
        missing = (self._rows - part.shape[1], seen_to - first - part.shape[2])
        if any(missing):
            part = np.pad(part, ((0, 0), (0, missing[0]), (0, missing[1])))
        heat, _ = self._runtime.run(np.ascontiguousarray(part[None]))
        cells = slice((self._wanted - first) // self._stride, (wanted_to - first) // self._stride)
        self._done.append(heat[0, 0, :, cells])
        self._wanted = wanted_to
        keep = max(0, wanted_to - self._halo)
        self._waiting, self._from = [held[..., keep - self._from :]], keep


def pooled(heat: F32, pooling: Pooling) -> F32:
    """Logit of each cell and its surroundings: scale · mean of the window + offset; their maximum is the bag's."""
    if pooling.window == 1 or not heat.size:
        mean = heat
    else:
        total = ndimage.uniform_filter(heat, pooling.window, mode="constant")
        inside = ndimage.uniform_filter(np.ones_like(heat), pooling.window, mode="constant")
        mean = total / inside
    return (np.float32(pooling.scale) * mean + np.float32(pooling.offset)).astype(np.float32)
