"""The GPU that is measured: whether there is one, what it is, how fast it copies, and its clock."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, cast

import numpy as np

from kernels.backends import get
from kernels.backends.cuda import CudaBackend

#: Larger than the cache of any GPU: a copy of it goes through memory.
COPY_BYTES = 128 << 20


class NoGpuError(RuntimeError):
    """There is no GPU to be measured; says why, and what to do."""


def open_gpu() -> CudaBackend:
    """The back end of this process. Raises :class:`NoGpuError`."""
    try:
        import cupy  # noqa: PLC0415 - optional, and slow to import
    except ImportError as error:
        raise NoGpuError(
            f"no GPU was measured: CuPy cannot be imported ({error}); install cupy-cuda12x for CUDA 12 (JetPack 6) or "
            "cupy-cuda13x for CUDA 13 (JetPack 7)"
        ) from error
    try:
        count = int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:  # CuPy's own kinds of errors, none of which can be named without it
        raise NoGpuError(
            f"no GPU was measured: CuPy {cupy.__version__} finds none ({error}); see nvidia-smi"
        ) from error
    if count == 0:
        raise NoGpuError(f"no GPU was measured: CuPy {cupy.__version__} finds none; see nvidia-smi")
    return cast("CudaBackend", get("cuda"))


def describe(gpu: CudaBackend) -> dict[str, Any]:
    """Its name and size, as the driver gives them."""
    found = gpu.cupy.cuda.runtime.getDeviceProperties(0)
    return {
        "name": found["name"].decode(),
        "multiprocessors": int(found["multiProcessorCount"]),
        "memory_bytes": int(found["totalGlobalMem"]),
    }


class KernelClock:
    """What kernels take on the GPU's own clock, between two events around each launch.

    Before them a copy is put onto the stream: it keeps the GPU busy until the launch has arrived, which an idle GPU
    would wait for between the events; and it empties the caches, so data come from memory. Use as a context.
    """

    def __init__(self, gpu: CudaBackend, copy_bytes: int = COPY_BYTES) -> None:
        self._gpu = gpu
        self._spans: list[tuple[str, Any, Any]] = []
        self.copy_bytes = copy_bytes
        with gpu.stream:
            self._from, self._to = (gpu.cupy.empty(copy_bytes, dtype=np.uint8) for _ in range(2))

    def __enter__(self) -> KernelClock:
        self._gpu.clock = self._around
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gpu.clock = None

    def copy(self) -> None:
        """Put a copy onto the stream."""
        self._to.data.copy_from_device_async(self._from.data, self.copy_bytes, self._gpu.stream)

    @contextmanager
    def _around(self, name: str) -> Iterator[None]:
        self.copy()
        with self.span(name):
            yield

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time what is put onto the stream inside."""
        begin, end = (self._gpu.cupy.cuda.Event(block=True) for _ in range(2))
        begin.record(self._gpu.stream)
        yield
        end.record(self._gpu.stream)
        self._spans.append((name, begin, end))

    def seconds(self) -> dict[str, list[float]]:
        """Every launch since the last call, by name of the kernel. Waits for the GPU."""
        found: dict[str, list[float]] = {}
        for name, begin, end in self._spans:
            end.synchronize()
            found.setdefault(name, []).append(1e-3 * self._gpu.cupy.cuda.get_elapsed_time(begin, end))
        self._spans.clear()
        return found


def copy_rate(clock: KernelClock, rounds: int) -> float:
    """Bytes per second, read and written, of a copy inside the GPU's memory; median."""
    for _ in range(rounds + 1):
        clock.copy()
        with clock.span("copy"):
            clock.copy()
    return 2 * clock.copy_bytes / statistics.median(clock.seconds()["copy"][1:])
