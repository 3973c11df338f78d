"""Images to heat, slab by slab: planes are made where the runtime reads them, of all slabs that fill a tile at once."""

from __future__ import annotations

from collections import deque

from edge.inference.detector import Tile
from edge.inference.heat import Buffers, HeatStream
from edge.inference.planes import PLANES, write_planes
from edge.inference.runtime import Runtime
from kernels.network_planes import Slab
from kernels.types import F32


class ImageStream(HeatStream):
    """Heat of one bag from its images, for a network of all :data:`edge.inference.planes.PLANES`."""

    def __init__(self, runtime: Runtime, rows: int, stride: int, halo: int, spare: Buffers | None = None) -> None:
        super().__init__(runtime, rows, stride, halo, spare=spare)
        self._slabs: deque[Slab] = deque()
        #: Columns of the first slab that have been taken, and of all slabs that have not.
        self._taken = self._waiting = 0

    def feed(self, tile: Tile) -> None:
        """Take the next columns, whose arrays must stay as they are, and run every tile that is full."""
        self._slabs.append((tile.images, tile.sigma, tile.flags))
        self._waiting += tile.flags.shape[2]
        while self._waiting >= self.missing:
            self._write(self.missing)

    def finish(self) -> F32:
        """Heat of the whole bag (cells of rows, cells of columns)."""
        if self._waiting:
            self._write(self._waiting)
        return super().finish()

    def _write(self, columns: int) -> None:
        write_planes(self._slabs, self.room(len(PLANES), columns), self._taken)
        self._waiting -= columns
        self._taken += columns
        while self._slabs and self._taken >= self._slabs[0][2].shape[2]:
            self._taken -= self._slabs.popleft()[2].shape[2]
        self.filled(columns)
