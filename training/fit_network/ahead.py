"""Batches prepared by other processes while the GPU works on the ones before; the same batches in the same order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from training.fit_network import machine
from training.fit_network.crops import Batch

#: Makes the batch of a step; depends on nothing but the step.
Draw = Callable[[int], Batch]
#: Batches that each process is ahead at most.
_AHEAD = 4


class _Steps(Dataset[tuple[Tensor, ...]]):
    def __init__(self, draw: Draw, steps: int) -> None:
        self._draw, self._steps = draw, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, step: int) -> tuple[Tensor, ...]:
        return _tensors(self._draw(step))


def _tensors(batch: Batch) -> tuple[Tensor, ...]:
    parts = (batch.planes, batch.cells, batch.weights, batch.labels)
    return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in parts)


class Batches:
    """Batches of steps 0 to ``steps`` − 1 that ``draw`` makes, asked for in order from any step on."""

    def __init__(self, draw: Draw, steps: int) -> None:
        self._steps = _Steps(draw, steps)
        self._coming: Iterator[Sequence[Tensor]] | None = None
        self._next = 0

    def __call__(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Planes, cells, weights and labels of batch ``step`` (:class:`Batch`)."""
        workers = machine.loaders()
        if workers == 0:
            return cast("tuple[Tensor, Tensor, Tensor, Tensor]", self._steps[step])
        if self._coming is None or step != self._next:
            order = range(step, len(self._steps))
            loader = DataLoader(
                self._steps, batch_size=None, sampler=order, num_workers=workers, prefetch_factor=_AHEAD,
                multiprocessing_context="fork",
            )  # fmt: skip
            self._coming = iter(loader)
        self._next = step + 1
        return cast("tuple[Tensor, Tensor, Tensor, Tensor]", tuple(next(self._coming)))
