"""Random crops of scans for our network, and what its cells should say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.inference.planes import PLANES, VALID
from kernels.types import F32, U8
from training.dataset.scan_file import BENIGN, CLUTTER, NOTHING, THREAT
from training.fit_network.inputs import Store
from training.fit_network.pasting import Paster
from training.networks.grain_net import STRIDE

Bool = npt.NDArray[np.bool_]
_SPREADS = np.array([name.endswith(" sd") for name in PLANES])[:, None, None]
_VALID = PLANES.index(VALID)
#: Planes that change their sign in a mirror across the belt's direction.
SIGNED = [k for k, name in enumerate(PLANES) if name.startswith("refraction") and not name.endswith(" sd")]
#: A cell is a threat from this share of threat pixels on, and not one below the other; in between it is not judged.
MOST, LEAST = 0.6, 0.1
#: A crop is labelled a threat from this many threat cells on.
CELLS = 3
#: Weight of all cells of each mask value in the loss of the cells.
SHARES = {NOTHING: 0.15, THREAT: 0.7, BENIGN: 0.5, CLUTTER: 1.0}


@dataclass(frozen=True)
class Batch:
    """``planes`` (N, C, size, size); ``cells`` (N, size/8, size/8) 1, 0, or −1 where not judged; ``weights`` of the
    same shape; ``labels`` (N,) 1, 0, or −1.
    """

    planes: F32
    cells: F32
    weights: F32
    labels: F32


@dataclass(frozen=True)
class Places:
    """Size of a scan, and which of its cells (rows, columns) lie on a threat, on any sample, on anything at all."""

    shape: tuple[int, ...]
    threat: npt.NDArray[np.int64]
    sample: npt.NDArray[np.int64]
    something: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cut:
    """Part of a scan, and whether it is turned over along the detector or mirrored across the belt's direction."""

    rows: slice
    columns: slice
    flipped: bool
    mirrored: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def cell_targets(mask: U8) -> tuple[F32, U8]:
    """What cells of :data:`STRIDE` pixels should say (1, 0, −1 not judged) and which mask value most of each has."""
    rows, columns = (-(-size // STRIDE) for size in mask.shape)
    padded = np.zeros((rows * STRIDE, columns * STRIDE), np.uint8)
    padded[: mask.shape[0], : mask.shape[1]] = mask
    cells = padded.reshape(rows, STRIDE, columns, STRIDE).swapaxes(1, 2).reshape(rows, columns, -1)
    share = (cells == THREAT).mean(-1)
    target = np.where(share >= MOST, 1.0, np.where(share < LEAST, 0.0, -1.0)).astype(np.float32)
    counts = np.stack([(cells == value).sum(-1) for value in sorted(SHARES)])
    return target, counts.argmax(0).astype(np.uint8)


def value_weights(store: Store, indices: Sequence[int]) -> dict[int, float]:
    """Weight of one cell by its mask value: all cells of a value together weigh :data:`SHARES`."""
    counts = np.zeros(len(SHARES))
    for index in indices:
        target, value = cell_targets(np.asarray(store[index].mask))
        counts += np.bincount(value[target >= 0].ravel(), minlength=len(SHARES))
    total = counts.sum() / sum(SHARES.values())
    return {value: share * total / max(float(counts[value]), 1.0) for value, share in SHARES.items()}


class Sampler:
    """Draws batches of crops from the scans ``indices`` of ``store``."""

    def __init__(
        self,
        store: Store,
        indices: Sequence[int],
        names: Sequence[str],
        size: int,
        *,
        on_sample: float,
        flip: bool,
        overlay: float,
        mirror: bool = False,
        paster: Paster | None = None,
        pasted: float = 0.0,
    ) -> None:
        if size % STRIDE:
            raise ValueError(f"crop = {size} pixels is not a multiple of {STRIDE}")
        self._store, self._indices, self._size = store, list(indices), size
        self._planes = [PLANES.index(name) for name in names]
        self._on_sample, self._flip, self._overlay, self._mirror = on_sample, flip, overlay, mirror
        self._paster, self._pasted = paster, pasted if paster else 0.0
        by_value = value_weights(store, indices)
        self.weights = np.array([by_value[value] for value in sorted(by_value)], np.float32)
        self._known: dict[int, Places] = {}

    @property
    def plain(self) -> bool:
        """Crops are what scans hold: nothing is laid over them or into them."""
        return self._overlay == 0 and self._pasted == 0

    def choose(self, rng: np.random.Generator, count: int) -> list[int]:
        """Scans of a batch."""
        return [int(index) for index in rng.choice(self._indices, count, replace=len(self._indices) < count)]

    def cuts(self, rng: np.random.Generator, count: int) -> list[tuple[int, Cut]]:
        """Scans and cuts of a plain batch: those that :meth:`draw` would make with the same generator."""
        made = []
        for index in self.choose(rng, count):
            made.append((index, self.cut(index, rng, self._on_sample)))
            rng.random()  # draw() asks here whether another scan is laid over
        return made

    def draw(self, rng: np.random.Generator, count: int) -> Batch:
        """``count`` crops of as many scans."""
        size, cells = self._size, self._size // STRIDE
        planes = np.zeros((count, len(self._planes), size, size), np.float32)
        mask = np.zeros((count, size, size), np.uint8)
        outside = np.zeros((count, size, size), np.bool_)
        for k, index in enumerate(self.choose(rng, count)):
            one, mask[k], outside[k] = self._crop(index, rng, self._on_sample)
            if rng.random() < self._overlay:
                other, over, beyond = self._crop(int(rng.choice(self._indices)), rng, 0.0)
                other[_VALID, beyond] = 1  # nothing lies there
                one = _laid_over(one, other)
                # The lowest number but 0 wins, as in a scan's own mask.
                mask[k] = np.minimum(mask[k] - np.uint8(1), over - np.uint8(1)) + np.uint8(1)
            while self._paster and rng.random() < self._pasted:
                self._paster.paste(one, mask[k], rng)
            planes[k] = one[self._planes]
        targets, values = zip(*(cell_targets(m) for m in mask), strict=True)
        target = np.stack(targets)
        target[outside.reshape(count, cells, STRIDE, cells, STRIDE).all((2, 4))] = -1
        hits = (target == 1).sum((1, 2))
        some = (mask == THREAT).any((1, 2))
        labels = np.where(hits >= CELLS, 1.0, np.where(some, -1.0, 0.0)).astype(np.float32)
        weights = self.weights[np.stack(values)] * (target >= 0)
        return Batch(planes, target, weights.astype(np.float32), labels)

    def _crop(self, index: int, rng: np.random.Generator, on_sample: float) -> tuple[F32, U8, Bool]:
        """All planes, mask, and which pixels lie beyond the scan, of one crop."""
        inputs, size, cut = self._store[index], self._size, self.cut(index, rng, on_sample)
        planes = np.zeros((len(PLANES), size, size), np.float32)
        mask, outside = np.zeros((size, size), np.uint8), np.ones((size, size), np.bool_)
        height, width = cut.shape
        way = -1 if cut.flipped else 1
        planes[:, :height, :width] = inputs.planes[:, cut.rows, cut.columns][:, ::way]
        mask[:height, :width] = inputs.mask[cut.rows, cut.columns][::way]
        outside[:height, :width] = False
        if cut.mirrored:
            planes, mask, outside = planes[:, :, ::-1].copy(), mask[:, ::-1], outside[:, ::-1]
            planes[SIGNED] *= -1
        return planes, mask, outside

    def cut(self, index: int, rng: np.random.Generator, on_sample: float) -> Cut:
        """What a crop of scan ``index`` takes of it."""
        places, size = self._places(index), self._size
        rows, columns = places.shape
        r0, c0 = self._corner(places, rng, on_sample)
        flipped = self._flip and rng.random() < 0.5
        mirrored = self._mirror and rng.random() < 0.5
        return Cut(slice(r0, min(r0 + size, rows)), slice(c0, min(c0 + size, columns)), flipped, mirrored)

    def _places(self, index: int) -> Places:
        found = self._known.get(index)
        if found is None:
            mask = self._store[index].mask
            where = np.asarray(mask[::STRIDE, ::STRIDE])
            threat, sample = where == THREAT, (where == THREAT) | (where == BENIGN)
            kinds = (np.argwhere(kind) for kind in (threat, sample, where != NOTHING))
            found = self._known[index] = Places(mask.shape, *kinds)
        return found

    def _corner(self, places: Places, rng: np.random.Generator, on_sample: float) -> tuple[int, int]:
        """Top left corner of a crop: around a pixel of a sample, or of anything, or anywhere."""
        rows, columns = places.shape
        size = self._size
        r, c = int(rng.integers(rows)), int(rng.integers(columns))
        wanted = rng.random() < on_sample
        found = places.sample if wanted else places.something
        if wanted and len(places.threat) and rng.random() < 0.75:
            found = places.threat
        if len(found):
            r, c = (int(v) * STRIDE for v in found[rng.integers(len(found))])
            r += int(rng.integers(-size // 3, size // 3 + 1))
            c += int(rng.integers(-size // 3, size // 3 + 1))
        r0 = min(max(r - size // 2, 0), max(rows - size, 0))
        c0 = min(max(c - size // 2, 0), max(columns - size, 0))
        return r0 // STRIDE * STRIDE, c0 // STRIDE * STRIDE


def _laid_over(planes: F32, other: F32) -> F32:
    """Two scans on top of each other: attenuation, refraction and dark-field add up, variances too.

    This is what x-rays do but for beam hardening, so it makes new clutter without inventing texture.
    """
    made: F32 = np.where(_SPREADS, np.hypot(planes, other), planes + other)
    valid = planes[_VALID] * other[_VALID]
    made *= valid
    made[_VALID] = valid
    return made
