"""Memory of the GPU back end: device buffers that are kept, and page-locked ones that copies run from and to.

All work goes down one stream, in order. The host waits at two places only: for results, and for a page-locked buffer
that is to be filled again while the copy before the last still reads it, which happens only when the GPU is behind.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Shape = tuple[int, ...]


class Pinned:
    """A page-locked buffer and the event after the last copy that uses it."""

    def __init__(self, cupy: Any, nbytes: int) -> None:
        self.nbytes = nbytes
        self._memory = cupy.cuda.alloc_pinned_memory(nbytes)
        # A waiting thread sleeps: the other services need the processor.
        self._event = cupy.cuda.Event(block=True, disable_timing=True)
        self._pending = False

    def view(self, shape: Shape, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The start of the buffer as an array. Wait first."""
        kind = np.dtype(dtype)
        size = math.prod(shape)
        return np.frombuffer(self._memory, dtype=kind, count=self.nbytes // kind.itemsize)[:size].reshape(shape)

    def mark(self, stream: Any) -> None:
        """Everything that uses the buffer is on the stream."""
        self._event.record(stream)
        self._pending = True

    def wait(self) -> None:
        """Return when nothing uses the buffer any more."""
        if self._pending and not self._event.done:
            self._event.synchronize()
        self._pending = False


class Memory:
    """Named buffers of one stream. They grow when they must, which is over after the first calls."""

    #: Page-locked buffers of each input: one is filled while the copy from the other may still run.
    SLOTS = 2

    def __init__(self, cupy: Any, stream: Any) -> None:
        self._cp = cupy
        self._stream = stream
        self._device: dict[str, Any] = {}
        self._pinned: dict[tuple[str, int], Pinned] = {}
        self._turn: dict[str, int] = {}

    def device(self, name: str, shape: Shape, dtype: npt.DTypeLike) -> Any:
        """A device array for ``name``, with whatever it held; the stream must be the current one."""
        size = math.prod(shape)
        found = self._device.get(name)
        if found is None or found.size < size or found.dtype != np.dtype(dtype):
            found = self._device[name] = self._cp.empty(max(size, 1), dtype=dtype)
        return found[:size].reshape(shape)

    def _page_locked(self, name: str, slot: int, nbytes: int) -> Pinned:
        found = self._pinned.get((name, slot))
        if found is not None:
            found.wait()
        if found is None or found.nbytes < nbytes:
            found = self._pinned[name, slot] = Pinned(self._cp, max(nbytes, 8))
        return found

    def send(self, name: str, values: npt.NDArray[Any]) -> Any:
        """A device array that will hold ``values``, which may change as soon as this returns."""
        return self.copy(name, values, self.device(name, values.shape, values.dtype))

    def copy(self, name: str, values: npt.NDArray[Any], target: Any) -> Any:
        """``target``, a device array that will hold ``values``, by way of the page-locked buffers of ``name``."""
        if values.size > 0:
            slot = self._turn[name] = (self._turn.get(name, 0) + 1) % self.SLOTS
            pinned = self._page_locked(name, slot, values.nbytes)
            staged = pinned.view(values.shape, values.dtype)
            np.copyto(staged, values)
            target.set(staged, stream=self._stream)
            pinned.mark(self._stream)
        return target

    def fetch(self, out: Sequence[npt.NDArray[Any]] | None = None, **sources: Any) -> list[npt.NDArray[Any]]:
        """Host copies of device arrays, in the arrays of ``out`` or new ones: the one place that waits for all work."""
        slots = []
        for name, source in sources.items():
            slot = self._page_locked(name, 0, source.nbytes)
            staged = slot.view(source.shape, source.dtype)
            if source.size > 0:
                source.get(stream=self._stream, out=staged, blocking=False)
                slot.mark(self._stream)
            slots.append((slot, staged))
        results = []
        for k, (slot, staged) in enumerate(slots):
            target = np.empty_like(staged) if out is None else out[k]
            slot.wait()
            np.copyto(target, staged)
            results.append(target)
        return results

    def reserve(self, name: str, nbytes: int) -> None:
        """Make the page-locked buffers of an input at once, so that none is made later while frames come."""
        for slot in range(self.SLOTS):
            self._page_locked(name, slot, nbytes)
