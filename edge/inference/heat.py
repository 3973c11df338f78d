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

#: Columns of heat that one run adds, in pixels; rounded up to whole cells. Fewer: more is computed twice in the halos;
#: more: more is left to do when the bag ends.
TILE = 256

#: Tiles of bags that have ended, for those to come: fresh memory costs as much as the copying.
Buffers = list[tuple[F32, F32]]


class HeatStream:
    """Heat of one bag. ``rows``, ``halo``, ``tile`` in pixels; whole cells are filled up with zeros: not valid."""

    def __init__(
        self, runtime: Runtime, rows: int, stride: int, halo: int, tile: int = TILE, spare: Buffers | None = None
    ) -> None:
        self._runtime, self._stride, self._halo = runtime, stride, halo
        self._spare = [] if spare is None else spare
        self._rows = -(-rows // stride) * stride
        self._width = -(-tile // stride) * stride + 2 * halo
        #: Two tiles that take turns: columns are written once, to where the runtime reads them.
        self._tiles: tuple[F32, F32] | None = None
        #: First column of the tile, how many columns it has, and the first one whose heat is still wanted.
        self._first = self._held = self._wanted = 0
        self._done: list[F32] = []

    def room(self, planes: int, rows: int, columns: int) -> F32:
        """Where the next columns go: a view (planes, rows, at most ``columns``), to be told :meth:`filled`."""
        if self._tiles is None:
            self._tiles = self._buffers((1, planes, self._rows, self._width), rows)
        return self._tiles[0][0, :, :rows, self._held : min(self._width, self._held + columns)]

    def filled(self, columns: int) -> None:
        """So many more columns are there; a tile that is full is run."""
        assert self._tiles is not None
        self._held += columns
        if self._held < self._width:
            return
        tile, next_ = self._tiles
        self._run(tile, self._width - self._halo)
        overlap = 2 * self._halo
        next_[..., :overlap] = tile[..., self._width - overlap :]
        self._first, self._held = self._first + self._width - overlap, overlap
        self._tiles = (next_, tile)

    def add(self, planes: F32) -> None:
        """Take the next columns (C, rows, n), and run every tile that is full."""
        taken = 0
        while taken < planes.shape[2]:
            room = self.room(planes.shape[0], planes.shape[1], planes.shape[2] - taken)
            room[...] = planes[..., taken : taken + room.shape[2]]
            taken += room.shape[2]
            self.filled(room.shape[2])

    def finish(self) -> F32:
        """Heat of the whole bag (cells of rows, cells of columns)."""
        if self._tiles is not None and self._wanted < self._first + self._held:
            width = -(-self._held // self._stride) * self._stride
            last = np.zeros((*self._tiles[0].shape[:3], width), np.float32)
            last[..., : self._held] = self._tiles[0][..., : self._held]
            self._run(last, width)
        if self._tiles is not None:
            self._spare.append(self._tiles)
            self._tiles = None
        if not self._done:
            return np.zeros((self._rows // self._stride, 0), np.float32)
        return np.concatenate(self._done, axis=1)

    def _buffers(self, shape: tuple[int, ...], rows: int) -> tuple[F32, F32]:
        """Two tiles of an earlier bag, or new ones; below ``rows`` they are zero."""
        while self._spare:
            tiles = self._spare.pop()
            if tiles[0].shape == shape:
                for tile in tiles:
                    tile[:, :, rows:] = 0
                return tiles
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def _run(self, tile: F32, until: int) -> None:
        """Add the heat of what is still wanted of ``tile``, as far as its column ``until``."""
        heat, _ = self._runtime.run(tile)
        cells = slice((self._wanted - self._first) // self._stride, until // self._stride)
        self._done.append(heat[0, 0, :, cells])
        self._wanted = self._first + until


def widest(halo: int, stride: int) -> int:
    """Columns that hold a tile in the middle, with neighbours that make a difference: most that is run at once."""
    return 2 * (halo + TILE) + stride


def pooled(heat: F32, pooling: Pooling) -> F32:
    """Logit of each cell and its surroundings: scale · mean of the window + offset; their maximum is the bag's."""
    if pooling.window == 1 or not heat.size:
        mean = heat
    else:
        total = ndimage.uniform_filter(heat, pooling.window, mode="constant")
        inside = ndimage.uniform_filter(np.ones_like(heat), pooling.window, mode="constant")
        mean = total / inside
    return (np.float32(pooling.scale) * mean + np.float32(pooling.offset)).astype(np.float32)
