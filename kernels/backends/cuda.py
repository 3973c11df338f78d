"""The GPU back end: the entry points of ``kernels/cuda/*.cu``, compiled by CuPy when the back end is made.

No machine of this project has a GPU: this module has never run on one. What was checked instead is in docs/kernels.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.backends.cuda_source import BLOCK, ENTRIES, source
from kernels.settings import BINS, SETTINGS
from kernels.types import F32, I32, U8, U16


def available() -> bool:
    """True when CuPy is installed and finds a device."""
    try:
        import cupy  # noqa: PLC0415 - optional, and slow to import

        return int(cupy.cuda.runtime.getDeviceCount()) > 0
    except Exception:  # a missing driver, toolkit or package all mean the same: no GPU here
        return False


class CudaBackend:
    """Runs every kernel on one GPU, on a stream of its own; device buffers are kept and reused.

    Compiles everything in the constructor, so the first call is as fast as any other.
    """

    name = "cuda"

    def __init__(self) -> None:
        import cupy  # noqa: PLC0415

        self._cp: Any = cupy
        self._stream = cupy.cuda.Stream(non_blocking=True)
        self._buffers: dict[str, Any] = {}
        self._kernels: dict[str, Any] = {}
        for file, names in ENTRIES.items():
            given = source(file)
            module = cupy.RawModule(code=given.code, options=given.options)
            for name in names:
                self._kernels[name] = module.get_function(name)
        with self._stream:
            self._settings = cupy.asarray(SETTINGS.vector())
        self._stream.synchronize()

    def _device(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """A device array of the buffer ``name``, which grows when it must."""
        size = int(np.prod(shape))
        found = self._buffers.get(name)
        if found is None or found.size < size or found.dtype != np.dtype(dtype):
            found = self._buffers[name] = self._cp.empty(max(size, 1), dtype=dtype)
        return found[:size].reshape(shape)

    def _send(self, name: str, values: Any) -> Any:
        target = self._device(name, values.shape, values.dtype)
        target.set(values, stream=self._stream)
        return target

    def _fetch(self, source: Any) -> Any:
        return source.get(stream=self._stream)

    def _launch(self, name: str, count: int, *arguments: Any) -> None:
        """Every scalar must come typed: CuPy would pass a Python int as 64 bits to an int parameter."""
        if count > 0:
            self._kernels[name]((-(-count // BLOCK),), (BLOCK,), arguments, stream=self._stream)

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
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns). ``threads`` has no meaning here."""
        rows, columns = samples.shape[2:]
        lines = BINS * rows
        with self._stream:
            prepared = self._device("prepared", (lines, 18), np.float32)
            raw = self._send("curves", curves)
            paper = np.int32(model == 0)
            self._launch(
                "prepare_curves", lines, raw, np.float32(x_um), paper, self._settings, np.int32(lines), prepared
            )
            images = self._device("images", samples.shape, np.float32)
            sigma = self._device("sigma", samples.shape, np.float32)
            flags = self._device("flags", (BINS, rows, columns), np.uint16)
            problems = rows * columns * (1 if model == 2 else BINS)
            self._launch(
                ("retrieve_paper", "retrieve_full", "retrieve_map")[model],
                problems,
                self._send("samples", samples),
                prepared,
                self._send("exposure", exposure),
                self._send("variance", variance_factor),
                self._send("prior", prior),
                self._settings,
                np.int32(problems),
                np.int32(columns),
                images,
                sigma,
                flags,
            )
            result = self._fetch(images), self._fetch(sigma), self._fetch(flags)
        self._stream.synchronize()
        return result

    def phase_sums(self, frames: U16, lower: I32, fraction: F32, good: U8, sums: F32, threads: int) -> None:
        """Add frames (n, 2, rows, 128) to sums (row blocks, capacity, 8, 16) at places (n, 128)."""
        count, _, rows, _ = frames.shape
        with self._stream:
            total = self._send("sums", sums)
            self._launch(
                "phase_sums",
                8 * rows,
                self._send("frames", frames),
                self._send("lower", lower),
                self._send("fraction", fraction),
                self._send("good", good),
                np.int32(count),
                np.int32(rows),
                np.int32(sums.shape[1]),
                total,
            )
            total.get(stream=self._stream, out=sums)
        self._stream.synchronize()

    def ratio_images(self, images: F32, sigma: F32, threads: int) -> tuple[F32, F32]:
        """Values and 1-σ, (7, n) each, of images and sigma (8, n)."""
        count = images.shape[1]
        with self._stream:
            values = self._device("values", (7, count), np.float32)
            errors = self._device("errors", (7, count), np.float32)
            self._launch(
                "ratio_images",
                count,
                self._send("images", images),
                self._send("sigma", sigma),
                self._settings,
                np.int32(count),
                values,
                errors,
            )
            result = self._fetch(values), self._fetch(errors)
        self._stream.synchronize()
        return result

    def fit_curves(
        self, positions: F32, flats: F32, start: F32, least: F32, paper: bool, threads: int
    ) -> tuple[F32, F32]:
        """Parameters (13, lines) and residual (lines,) of flats (P, 4, lines) from start (13, lines)."""
        lines = start.shape[1]
        with self._stream:
            parameters = self._send("parameters", start)
            residual = self._device("residual", (lines,), np.float32)
            self._launch(
                "fit_curves",
                lines,
                self._send("positions", positions),
                np.int32(len(positions)),
                self._send("flats", flats),
                self._send("least", least),
                np.int32(paper),
                self._settings,
                np.int32(lines),
                parameters,
                residual,
            )
            result = self._fetch(parameters), self._fetch(residual)
        self._stream.synchronize()
        return result
