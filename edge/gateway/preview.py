"""Small images of each bag for the feed: retrieved slabs are averaged over square blocks as they come."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge.archive.layout import IMAGE_CHANNELS
from edge.messages import CHANNELS, Arrays, BagImage, ImageSlab
from kernels.types import INFORMATIVE

F64 = npt.NDArray[np.float64]

#: A preview has at most so many rows; columns are reduced by the same factor. What waits for a subscriber that does not
#: read is bounded by its queue in messages, so a preview has to be small.
MAX_ROWS = 64
#: And at most so many columns: 20 m of belt at the coarsest. Further ones are left out.
MAX_COLUMNS = 16_384
#: Bags collected at once; the oldest is given up when there are more.
MAX_BAGS = 8
#: Flags that make a pixel unusable.
_BAD = np.uint16(0xFFFF & ~int(INFORMATIVE))


@dataclass
class _Collected:
    """Sums and numbers of good pixels, (channel, bin, block row, block column)."""

    first: ImageSlab
    factor: int
    sums: F64
    counts: F64
    seen: set[int] = field(default_factory=set)


class Previews:
    """Takes image slabs, gives one :class:`~edge.messages.BagImage` when a bag's last slab is there."""

    def __init__(self) -> None:
        #: Slabs and bags that were left out because they made no sense or were too many.
        self.dropped = 0
        self._bags: OrderedDict[str, _Collected] = OrderedDict()

    def add(self, slab: ImageSlab, arrays: Arrays) -> tuple[BagImage, npt.NDArray[np.float32]] | None:
        """Take one slab; returns the preview (float32, NaN where nothing is known) with the bag's last one."""
        bag = self._bags.get(slab.bag_id)
        if bag is None and slab.rows:
            bag = self._bags[slab.bag_id] = _begin(slab)
            if len(self._bags) > MAX_BAGS:
                self._bags.popitem(last=False)
                self.dropped += 1
        if bag is None or not _fits(slab, arrays, bag):
            self.dropped += bag is not None
        elif slab.index not in bag.seen:
            bag.seen.add(slab.index)
            _average(bag, slab, arrays)
        if not slab.last or bag is None:
            return None
        del self._bags[slab.bag_id]
        return _finish(bag, slab)


def _begin(slab: ImageSlab) -> _Collected:
    factor = -(-slab.rows // MAX_ROWS)
    empty = np.zeros((len(CHANNELS), 2, -(-slab.rows // factor), 0))
    return _Collected(slab, factor, empty, empty)


def _fits(slab: ImageSlab, arrays: Arrays, bag: _Collected) -> bool:
    shape = (len(CHANNELS), 2, slab.rows, slab.columns)
    first = bag.first
    return (
        arrays["images"].shape == shape
        and arrays["flags"].shape == shape[1:]
        and (slab.rows, slab.grid_um, slab.row_pitch_um) == (first.rows, first.grid_um, first.row_pitch_um)
        and slab.column0 + slab.columns <= MAX_COLUMNS * bag.factor
    )


def _average(bag: _Collected, slab: ImageSlab, arrays: Arrays) -> None:
    if not slab.columns:
        return
    images = np.asarray(arrays["images"], np.float64)
    good = np.isfinite(images) & ((np.asarray(arrays["flags"], np.uint16) & _BAD) == 0)
    first, blocks = slab.column0 // bag.factor, -(-(slab.column0 + slab.columns) // bag.factor)
    if blocks > bag.sums.shape[-1]:
        more = [(0, 0)] * 3 + [(0, blocks - bag.sums.shape[-1])]
        bag.sums, bag.counts = np.pad(bag.sums, more), np.pad(bag.counts, more)
    here = slice(first, blocks)
    bag.sums[..., here] += _blocks(np.where(good, images, 0.0), slab.column0, bag.factor)
    bag.counts[..., here] += _blocks(good.astype(np.float64), slab.column0, bag.factor)


def _blocks(values: F64, column0: int, factor: int) -> F64:
    """Sums over blocks of ``factor`` by ``factor`` pixels of the bag's grid; the slab begins at ``column0``."""
    rows = np.arange(0, values.shape[-2], factor)
    edges = np.arange(column0 // factor * factor, column0 + values.shape[-1], factor)
    summed = np.add.reduceat(values, rows, axis=-2)
    return np.asarray(np.add.reduceat(summed, np.maximum(edges - column0, 0), axis=-1))


def _finish(bag: _Collected, last: ImageSlab) -> tuple[BagImage, npt.NDArray[np.float32]]:
    with np.errstate(invalid="ignore", divide="ignore"):
        image = (bag.sums / bag.counts).astype(np.float32)
    header = BagImage(
        bag_id=last.bag_id,
        scan_id=last.scan_id,
        encoder=last.encoder,
        rows=image.shape[-2],
        columns=image.shape[-1],
        channels=tuple(f"{channel.name} [{channel.unit}]" for channel in IMAGE_CHANNELS),
        pixel_mm=(bag.factor * bag.first.row_pitch_um / 1e3, bag.factor * bag.first.grid_um / 1e3),
        preview=True,
    )
    return header, image
