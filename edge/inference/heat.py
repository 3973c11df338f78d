"""Planes to heat, tile by tile as columns arrive, so that little is left to do when a bag ends.

A network is convolutional: heat depends on the pixels within its halo only. A tile is run with that much of its
neighbours on both sides, and what lies in the halo is dropped; so the tiles together are the heat of one pass over the
whole bag. Only the first and the last tile touch a border, which is the bag's own.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from edge.inference.manifest import Pooling
from edge.inference.runtime import Runtime
from kernels.network_planes import pack_rows
from kernels.types import F32

#: Columns of heat that one run adds, in pixels; rounded up to whole cells. Fewer: more is computed twice in the halos;
#: more: more is left to do when the bag ends. With halos of 88, every second tile ends where a slab of 32 columns does;
#: the others cut one in two, and each part costs nearly as much as a whole one.
TILE = 272

#: Memory of bags that have ended, for those to come: fresh memory costs as much as a copy.
Buffers = list[F32]

#: Tiles of a bag until its memory begins anew; what they need beyond one tile is little.
_MOVES = 16
#: Floats of a cache line: planes that begin and end with one are written without reading what was there.
_LINE = 16
#: Floats of a huge page, which NumPy asks the system for where memory is large; only whole ones can be.
_PAGE = (2 << 20) // 4


class HeatStream:
    """Heat of one bag. ``rows``, ``halo``, ``tile`` in pixels; whole cells are filled up with zeros: not valid.

    Tiles overlap, and are parts of one memory that overlap as well. Where the next tile begins ``step`` floats after
    this one, its pixel (plane, row, column) lies where (plane, row, column + step) of this one does: what both share is
    in its place, and new columns come where those lie that are not needed any more. Only the last tile is moved: it is
    narrower.
    """

    def __init__(
        self, runtime: Runtime, rows: int, stride: int, halo: int, tile: int = TILE, spare: Buffers | None = None
    ) -> None:
        self._runtime, self._stride, self._halo = runtime, stride, halo
        self._spare = [] if spare is None else spare
        self._step = -(-tile // stride) * stride
        #: Of a tile: (1, planes, rows, columns).
        self._shape = (1, 0, -(-rows // stride) * stride, self._step + 2 * halo)
        self._filled_rows = rows
        self._memory: F32 | None = None
        #: The tile within the memory, and its first float there.
        self._tile: F32 = np.zeros(self._shape, np.float32)
        self._start = 0
        #: First column of the tile, how many columns it has, and the first one whose heat is still wanted.
        self._first = self._held = self._wanted = 0
        self._done: list[F32] = []

    @property
    def missing(self) -> int:
        """Columns until the tile is full."""
        return self._shape[3] - self._held

    def room(self, planes: int, columns: int) -> F32:
        """Where the next columns go: a view (planes, rows, some), to be told :meth:`filled`.

        ``columns``: how many there are. It may have room for less of them; or for a few more, as it ends with a cache
        line: what is written to those is overwritten.
        """
        if self._memory is None:
            self._shape = (1, planes, *self._shape[2:])
            self._memory = self._take(math.prod(self._shape) + _MOVES * self._step)
            self._place(0, 0)
        until = min(self._shape[3], self._held + -(-columns // _LINE) * _LINE)
        return self._tile[0, :, : self._filled_rows, self._held : until]

    def filled(self, columns: int) -> None:
        """So many more columns are there; a tile that is full is run."""
        self._held += columns
        width, overlap = self._shape[3], 2 * self._halo
        if self._held < width:
            return
        self._run(self._tile, width - self._halo)
        self._first, self._held = self._first + self._step, overlap
        if self._start < _MOVES * self._step:
            self._place(self._start + self._step, overlap)
        else:
            shared = self._tile[..., self._step :].copy()
            self._place(0, overlap)
            self._tile[..., :overlap] = shared

    def add(self, planes: F32) -> None:
        """Take the next columns (C, rows, n), and run every tile that is full."""
        taken = 0
        while taken < planes.shape[2]:
            room = self.room(planes.shape[0], planes.shape[2] - taken)
            part = planes[..., taken : taken + room.shape[2]]
            room[..., : part.shape[2]] = part
            taken += part.shape[2]
            self.filled(part.shape[2])

    def finish(self) -> F32:
        """Heat of the whole bag (cells of rows, cells of columns)."""
        if self._memory is not None:
            if self._wanted < self._first + self._held:
                width = -(-self._held // self._stride) * self._stride
                pack_rows(self._tile.reshape(-1), self._shape[3], self._held, width)
                last = (*self._shape[:3], width)
                self._run(self._tile.reshape(-1)[: math.prod(last)].reshape(last), width)
            self._spare.append(self._memory)
            self._memory = None
        if not self._done:
            return np.zeros((self._shape[2] // self._stride, 0), np.float32)
        return np.concatenate(self._done, axis=1)

    def _take(self, floats: int) -> F32:
        """Memory of an earlier bag, or new."""
        while self._spare:
            memory = self._spare.pop()
            if memory.size == floats:
                return memory
        return aligned_zeros(floats)

    def _place(self, start: int, kept: int) -> None:
        """Begin a tile at float ``start`` of the memory; rows that fill cells are zero beyond its ``kept`` columns."""
        assert self._memory is not None
        self._start = start
        self._tile = self._memory[start : start + math.prod(self._shape)].reshape(self._shape)
        if self._filled_rows < self._shape[2]:
            self._tile[:, :, self._filled_rows :, kept:] = 0

    def _run(self, tile: F32, until: int) -> None:
        """Add the heat of what is still wanted of ``tile``, as far as its column ``until``."""
        heat, _ = self._runtime.run(tile)
        cells = slice((self._wanted - self._first) // self._stride, until // self._stride)
        self._done.append(heat[0, 0, :, cells])
        self._wanted = self._first + until


def aligned_zeros(floats: int) -> F32:
    """New memory that begins with a cache line, and consists of huge pages where it is as large as one."""
    unit = _PAGE if floats >= _PAGE else _LINE
    memory = np.zeros((-(-floats // unit) + 1) * unit, np.float32)
    gap = -memory.ctypes.data // memory.itemsize % unit
    return memory[gap : gap + floats]


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
