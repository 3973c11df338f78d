"""The GPU back end: the entry points of ``kernels/cuda/*.cu``, compiled by CuPy when the back end is made.

It has run on one borrowed data-centre GPU (H100); no Jetson, for which it is written, has run it, and tests and CI have
no GPU. What was checked where is in docs/reference/gpu-checks.md.
"""

from __future__ import annotations

import threading as thread
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from kernels.backends import cuda_cache
from kernels.backends.cuda_acquisition import CudaAcquisition
from kernels.backends.cuda_memory import Memory
from kernels.backends.cuda_source import BLOCK, ENTRIES, source
from kernels.backends.cuda_window import CudaWindow
from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import F32, U16

#: Floats that a curve takes as the retrieval uses it: CURVE_PREPARED of model.cuh.
CURVE_PREPARED = 18


def available() -> bool:
    """True when CuPy is installed and finds a device."""
    try:
        import cupy  # noqa: PLC0415 - optional, and slow to import

        return int(cupy.cuda.runtime.getDeviceCount()) > 0
    except Exception:  # a missing driver, toolkit or package all mean the same: no GPU here
        return False


class CudaBackend(CudaAcquisition):
    """Runs every kernel on one GPU, on a stream of its own; a process has one, which its threads share.

    The constructor compiles everything and launches every kernel once, so that it is loaded: the first call of a
    service is as fast as any other.
    """

    name = "cuda"

    def __init__(self) -> None:
        import cupy  # noqa: PLC0415

        self.lock = thread.RLock()
        self.cupy: Any = cupy
        self.stream: Any = cupy.cuda.Stream(non_blocking=True)
        self.memory = Memory(cupy, self.stream)
        #: What is put around every launch of a kernel, by its name, while somebody measures.
        self.clock: Callable[[str], AbstractContextManager[None]] | None = None
        self._kernels: dict[str, Any] = cuda_cache.with_usable_cache(self._compile)
        self._launch_all_once()

    def _compile(self) -> dict[str, Any]:
        kernels = {}
        for file, names in ENTRIES.items():
            given = source(file)
            module = self.cupy.RawModule(code=given.code, options=given.options)
            for name in names:
                kernels[name] = module.get_function(name)
        return kernels

    def _launch_all_once(self) -> None:
        """One pixel, one row, one scan: loads the code and makes the stacks in local memory."""
        one = np.ones((GROUPS, BINS, 1, 1), dtype=np.float32)
        column, prior = np.ones(1, dtype=np.float32), np.zeros(12, dtype=np.float32)
        for model in range(3):
            self.retrieve(one, np.ones((BINS, 1, 13), dtype=np.float32), 0.0, column, column, model, prior, 1)
        window = self.window(1, 2)
        window.add(
            np.ones((1, BINS, 1, 128), dtype=np.uint16),
            np.zeros((1, 128), dtype=np.int32),
            np.zeros((1, 128), dtype=np.float32),
            np.ones((BINS, 1, 128), dtype=np.uint8),
            1,
        )
        window.take(1, 2)
        self.ratio_images(one.reshape(8, 1), one.reshape(8, 1), 1)
        start = np.ones((13, 1), dtype=np.float32)
        self.fit_curves(np.zeros(1, dtype=np.float32), one[None, :, 0, :, 0], start, column, False, 1)
        self.launch_acquisition_once()

    def launch(self, name: str, count: int, *arguments: Any) -> None:
        """``count`` threads of a kernel on the current stream, which is ours.

        Scalars come typed: CuPy would pass 64 bits of a Python int.
        """
        if count <= 0:
            return
        with self.clock(name) if self.clock is not None else nullcontext():
            self._kernels[name]((-(-count // BLOCK),), (BLOCK,), arguments)

    def retrieve(
        self,
        samples: F32,
        curves: F32,
        x_um: float,
        exposure: F32,
        variance_factor: F32,
        model: int,
        prior: F32,
        threads: int,
        out: tuple[F32, F32, U16] | None = None,
        unbiased: bool = True,
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns): those of ``out``, or new ones.

        ``threads`` has no meaning here.
        """
        rows, columns = samples.shape[2:]
        lines = BINS * rows
        problems = rows * columns * (1 if model == 2 else BINS)
        memory = self.memory
        with self.lock, self.stream:
            given = memory.send("curves", curves)
            prepared = memory.device("prepared", (lines, CURVE_PREPARED), np.float32)
            self.launch(
                "prepare_curves",
                lines,
                given,
                np.float32(x_um),
                np.int32(model == 0),
                np.int32(rows),
                prepared,
            )
            images = memory.device("images", samples.shape, np.float32)
            sigma = memory.device("sigma", samples.shape, np.float32)
            flags = memory.device("flags", (BINS, rows, columns), np.uint16)
            self.launch(
                ("retrieve_paper", "retrieve_full", "retrieve_map")[model],
                problems,
                memory.send("samples", samples),
                given,
                np.float32(x_um),
                prepared,
                memory.send("exposure", exposure),
                memory.send("variance", variance_factor),
                memory.send("prior", prior),
                np.int32(problems),
                np.int32(columns),
                np.float32(SETTINGS.bias_most if unbiased else 0.0),
                images,
                sigma,
                flags,
            )
            found = memory.fetch(out, images=images, sigma=sigma, flags=flags)
        return found[0], found[1], found[2]

    def window(self, rows: int, capacity: int) -> CudaWindow:
        """Phase sums of ``rows`` detector rows and ``capacity`` grid columns, kept on the GPU."""
        return CudaWindow(self, rows, capacity)

    def ratio_images(self, images: F32, sigma: F32, threads: int) -> tuple[F32, F32]:
        """Values and 1-σ, (7, n) each, of images and sigma (8, n)."""
        count = images.shape[1]
        memory = self.memory
        with self.lock, self.stream:
            values = memory.device("values", (7, count), np.float32)
            errors = memory.device("errors", (7, count), np.float32)
            self.launch(
                "ratio_images",
                count,
                memory.send("ratio_images", images),
                memory.send("ratio_sigma", sigma),
                np.int32(count),
                values,
                errors,
            )
            host_values, host_errors = memory.fetch(values=values, errors=errors)
        return host_values, host_errors

    def fit_curves(
        self, positions: F32, flats: F32, start: F32, least: F32, paper: bool, threads: int
    ) -> tuple[F32, F32]:
        """Parameters (13, lines) and residual (lines,) of flats (P, 4, lines) from start (13, lines)."""
        lines = start.shape[1]
        memory = self.memory
        with self.lock, self.stream:
            parameters = memory.send("parameters", start)
            residual = memory.device("residual", (lines,), np.float32)
            self.launch(
                "fit_curves",
                lines,
                memory.send("positions", positions),
                np.int32(len(positions)),
                memory.send("flats", flats),
                memory.send("least", least),
                np.int32(paper),
                np.int32(lines),
                parameters,
                residual,
            )
            found, left = memory.fetch(fitted=parameters, residual=residual)
        return found, left
