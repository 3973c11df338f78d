"""Plain crops cut on the device that trains: all scans lie in its memory, and no process has to carry them there.

The same batches as :meth:`training.fit_network.crops.Sampler.draw` makes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from edge.inference.planes import PLANES
from training.dataset.scan_file import THREAT
from training.fit_network import loop
from training.fit_network.crops import CELLS, LEAST, MOST, SHARES, SIGNED, Cut, Sampler
from training.fit_network.inputs import Store
from training.networks.grain_net import STRIDE

#: Bytes of planes that are kept on the device at most; larger data sets are cut by other processes.
MOST_BYTES = 30e9


def fits(store: Store, indices: Sequence[int]) -> bool:
    """Whether the planes of the scans ``indices`` may lie in the device's memory; taken from the first of them."""
    return bool(indices) and store[indices[0]].planes.nbytes * len(indices) <= MOST_BYTES


class Resident:
    """Batches of a plain ``sampler``, called with the step like :class:`training.fit_network.ahead.Batches`."""

    def __init__(
        self, sampler: Sampler, store: Store, indices: Sequence[int], planes: Sequence[str], *, size: int, count: int,
        seed: int, device: torch.device,
    ) -> None:  # fmt: skip
        if not sampler.plain:
            raise ValueError("sampler: lays scans over each other or boxes into them; its crops are cut by processes")
        self._sampler, self._size, self._count, self._seed = sampler, size, count, seed
        chosen = [PLANES.index(name) for name in planes]
        self._planes = {index: torch.from_numpy(store[index].planes[chosen]).to(device) for index in indices}
        self._masks = {index: torch.from_numpy(np.array(store[index].mask)).to(device) for index in indices}
        self._weights = torch.from_numpy(sampler.weights).to(device)
        signs = torch.ones(len(PLANES))
        signs[SIGNED] = -1
        self._signs = signs[chosen].view(-1, 1, 1).to(device)
        self._device = device

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Planes, cells, weights and labels of batch ``step`` (:class:`training.fit_network.crops.Batch`)."""
        cuts = self._sampler.cuts(loop.generator(self._seed, step), self._count)
        shape = (self._count, self._size, self._size)
        planes = torch.zeros((self._count, len(self._signs), *shape[1:]), device=self._device)
        mask = torch.zeros(shape, dtype=torch.uint8, device=self._device)
        outside = torch.ones(shape, dtype=torch.bool, device=self._device)
        for k, (index, cut) in enumerate(cuts):
            self._put(planes[k], mask[k], outside[k], index, cut)
        return planes, *self._wanted(mask, outside)

    def _put(self, planes: Tensor, mask: Tensor, outside: Tensor, index: int, cut: Cut) -> None:
        height, width = cut.shape
        columns = slice(self._size - width, self._size) if cut.mirrored else slice(0, width)
        part, over = self._planes[index][:, cut.rows, cut.columns], self._masks[index][cut.rows, cut.columns]
        turned = ([-2] if cut.flipped else []) + ([-1] if cut.mirrored else [])
        if turned:
            part, over = part.flip(turned), over.flip(turned)
        planes[:, :height, columns] = part * self._signs if cut.mirrored else part
        mask[:height, columns] = over
        outside[:height, columns] = False

    def _wanted(self, mask: Tensor, outside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cells, weights and labels, as :func:`training.fit_network.crops.cell_targets` has them."""
        share = (_cells(mask) == THREAT).float().mean(-1)
        target = torch.where(share >= MOST, 1.0, torch.where(share < LEAST, 0.0, -1.0))
        counts = torch.stack([(_cells(mask) == value).sum(-1) for value in sorted(SHARES)])
        target[_cells(outside).all(-1)] = -1
        hits, some = (target == 1).sum((1, 2)), (mask == THREAT).flatten(1).any(1)
        labels = torch.where(hits >= CELLS, 1.0, torch.where(some, -1.0, 0.0))
        return target, self._weights[counts.argmax(0)] * (target >= 0), labels


def _cells(of: Tensor) -> Tensor:
    """Pixels of each cell (N, rows/8, columns/8, 64) of (N, rows, columns)."""
    count, rows, columns = of.shape
    cells = of.reshape(count, rows // STRIDE, STRIDE, columns // STRIDE, STRIDE)
    return cells.transpose(2, 3).flatten(3)
