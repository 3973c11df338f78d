"""Image columns to block averages, tile by tile, so that little is left to do at the end of a bag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.inference.detector import Geometry, Tile
from edge.inference.settings import Settings
from kernels.settings import SETTINGS as KERNEL_SETTINGS
from kernels.types import F32, U16, Flag

Bool = npt.NDArray[np.bool_]

#: Channels of the block planes, in this order; bins (low, high) each.
PLANES = ("attenuation", "offset_attenuation", "dark_field")
#: A pixel with one of these flags says nothing about the material.
UNUSABLE = Flag.NOT_CONVERGED | Flag.SINGULAR | Flag.BAD_INPUT | Flag.BOUND_HIT
#: Smallest transmission that a logarithm is taken of.
FLOOR = 1e-3
_T, _TAU2, _O = 0, 2, 3


@dataclass(frozen=True)
class Planes:
    """Block averages of one bag, (rows, columns) in blocks.

    ``values``: (6, rows, columns) float32, :data:`PLANES` × (low, high): −ln t, −ln o, τ² (µm²).
    ``variance``: their 1-σ², from the σ of the retrieval without its coverage factor. ``good``: enough usable pixels.
    ``opaque``: too dense to judge.
    """

    values: F32
    variance: F32
    good: Bool
    opaque: Bool
    block_rows: int
    block_columns: int
    block_mm: tuple[float, float]

    def area_mm2(self, mask: Bool) -> float:
        """Area of the blocks of ``mask``."""
        return float(np.count_nonzero(mask) * self.block_mm[0] * self.block_mm[1])


class BlockAverager:
    """Averages the usable pixels of each block as columns arrive; keeps the odd columns until their block is full."""

    def __init__(self, geometry: Geometry, settings: Settings) -> None:
        self._settings = settings
        self.block_rows = max(1, round(settings.block_mm * 1e3 / geometry.row_pitch_um))
        self.block_columns = max(1, round(settings.block_mm * 1e3 / geometry.grid_um))
        self.block_mm = (
            self.block_rows * geometry.row_pitch_um / 1e3,
            self.block_columns * geometry.grid_um / 1e3,
        )
        self._rows = geometry.rows
        self._left: Tile | None = None
        self._done: list[tuple[F32, F32, Bool, Bool]] = []

    def add(self, tile: Tile) -> None:
        """Average the next columns; ValueError when the tile has other rows than the bag."""
        if tile.images.shape[2] != self._rows:
            raise ValueError(f"tile at column {tile.column0} has {tile.images.shape[2]} rows, the bag has {self._rows}")
        if self._left is not None:
            tile = _join(self._left, tile)
        whole = tile.images.shape[3] // self.block_columns * self.block_columns
        if whole:
            self._done.append(self._average(_cut(tile, 0, whole)))
        self._left = _cut(tile, whole, None) if whole < tile.images.shape[3] else None

    def planes(self) -> Planes:
        """All whole blocks so far; columns that fill no block are left out (they are air behind the bag)."""
        rows = self._rows // self.block_rows
        if not self._done:
            empty = np.zeros((len(PLANES) * 2, rows, 0), np.float32)
            none = np.zeros((rows, 0), np.bool_)
            return Planes(empty, empty, none, none, self.block_rows, self.block_columns, self.block_mm)
        values, variance, good, opaque = (np.concatenate(part, axis=-1) for part in zip(*self._done, strict=True))
        return Planes(values, variance, good, opaque, self.block_rows, self.block_columns, self.block_mm)

    def _average(self, tile: Tile) -> tuple[F32, F32, Bool, Bool]:
        images, sigma = tile.images[[_T, _O, _TAU2]], tile.sigma[[_T, _O, _TAU2]]
        good_pixels = usable(images, sigma, tile.flags)
        count = self._blocks(good_pixels.astype(np.float32))  # (2, R, C)
        divisor = np.maximum(count, 1)
        mean = self._blocks(np.where(good_pixels, images, np.float32(0))) / divisor
        coverage = np.float32(KERNEL_SETTINGS.map_coverage)
        variance = self._blocks(np.where(good_pixels, sigma, np.float32(0)) ** 2) / (divisor * coverage) ** 2
        size = self.block_rows * self.block_columns
        good = (count >= self._settings.min_good * size).all(0)
        # Starved or saturated pixels count as dark; everything else that is unusable is only missing.
        dark = (tile.flags & int(Flag.LOW_COUNTS)) != 0
        dark_share = self._blocks(dark.astype(np.float32)) / size
        opaque = ((dark_share > self._settings.min_good) | (good & (mean[0] < self._settings.opaque_transmission))).any(
            0
        )
        linear, floor = mean[:2], np.float32(FLOOR)
        clipped = np.maximum(linear, floor)
        relative = variance[:2] / clipped**2
        # −ln of a noisy mean is high by half its relative variance.
        logarithm = -np.log(clipped) - np.where(linear > floor, np.minimum(relative, 1) / 2, 0)
        values = np.concatenate([logarithm, mean[2:]]).astype(np.float32)
        noise = np.concatenate([relative, variance[2:]]).astype(np.float32)
        shape = (len(PLANES) * 2, *values.shape[2:])
        return values.reshape(shape), noise.reshape(shape), good & ~opaque, opaque

    def _blocks(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Sum over blocks of the last two axes, in the same order however the columns were cut."""
        br, bc = self.block_rows, self.block_columns
        rows = array.shape[-2] // br * br
        summed = np.zeros((*array.shape[:-2], rows // br, array.shape[-1] // bc), np.float32)
        for i in range(br):
            for j in range(bc):
                summed += array[..., i:rows:br, j::bc]
        return summed


def usable(images: F32, sigma: F32, flags: U16) -> Bool:
    """Whether a pixel says something about the material, per bin: (2, rows, columns)."""
    unflagged = (flags & np.uint16(UNUSABLE)) == 0
    found: Bool = unflagged & np.isfinite(images).all(0) & np.isfinite(sigma).all(0)
    return found


def _cut(tile: Tile, start: int, stop: int | None) -> Tile:
    part = slice(start, stop)
    return Tile(tile.column0 + start, tile.images[..., part], tile.sigma[..., part], tile.flags[..., part])


def _join(first: Tile, second: Tile) -> Tile:
    return Tile(
        first.column0,
        np.concatenate([first.images, second.images], axis=-1),
        np.concatenate([first.sigma, second.sigma], axis=-1),
        np.concatenate([first.flags, second.flags], axis=-1),
    )
