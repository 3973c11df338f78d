"""The CPU back end: the compiled kernels of :mod:`kernels._host`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kernels import _host
from kernels.backends.host_acquisition import HostAcquisition
from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import F32, I32, U8, U16


class HostBackend(HostAcquisition):
    """Runs every kernel on the processor, with SIMD lanes over pixels and OpenMP threads.

    ``isa``: one of :func:`instruction_sets`, or empty for the fastest that this processor has.
    """

    name = "host"

    def __init__(self, isa: str = "") -> None:
        self._isa = isa
        self._settings = SETTINGS.vector()
        self._plain = replace(SETTINGS, bias_most=0.0).vector()

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
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns): those of ``out``, or new ones."""
        if out is None:
            flags = np.empty((BINS, *samples.shape[2:]), dtype=np.uint16)
            out = np.empty_like(samples), np.empty_like(samples), flags
        images, sigma, flags = out
        _host.retrieve(
            samples=samples,
            curves=curves,
            x=x_um,
            exposure=exposure,
            variance=variance_factor,
            model=model,
            prior=prior,
            settings=self._settings if unbiased else self._plain,
            images=images,
            sigma=sigma,
            flags=flags,
            threads=threads,
            isa=self._isa,
        )
        return images, sigma, flags

    def phase_sums(
        self, frames: U16, lower: I32, fraction: F32, good: U8 | None, sums: F32, capacity: int, threads: int
    ) -> None:
        """Add frames (n, 2, rows, 128) to sums (2 bins, rows, cells, 4 groups) at places (n, 128)."""
        _host.phase_sums(
            frames=frames,
            lower=lower,
            fraction=fraction,
            good=good,
            sums=sums,
            capacity=capacity,
            threads=threads,
            isa=self._isa,
        )

    def window(self, rows: int, capacity: int) -> HostWindow:
        """Empty phase sums of ``rows`` detector rows and ``capacity`` grid columns."""
        return HostWindow(self, rows, capacity)

    def ratio_images(self, images: F32, sigma: F32, threads: int) -> tuple[F32, F32]:
        """Values and 1-σ, (7, n) each, of images and sigma (8, n)."""
        values = np.empty((7, images.shape[1]), dtype=np.float32)
        errors = np.empty_like(values)
        _host.ratio_images(
            images=images,
            sigma=sigma,
            settings=self._settings,
            values=values,
            errors=errors,
            threads=threads,
            isa=self._isa,
        )
        return values, errors

    def fit_curves(
        self, positions: F32, flats: F32, start: F32, least: F32, paper: bool, threads: int
    ) -> tuple[F32, F32]:
        """Parameters (13, lines) and residual (lines,) of flats (P, 4, lines) from start (13, lines)."""
        parameters = start.copy()
        residual = np.empty(start.shape[1], dtype=np.float32)
        _host.fit_curves(
            positions=positions,
            flats=flats,
            least=least,
            paper=int(paper),
            settings=self._settings,
            parameters=parameters,
            residual=residual,
            threads=threads,
            isa=self._isa,
        )
        return parameters, residual


#: Grid columns before the window that a frame which reaches into it may also reach.
BEFORE = 48


class HostWindow:
    """Sums (2 bins, rows, capacity and those before, 4 groups) of one window.

    The grid columns lie backwards, because a frame's columns do: so neighbours go to neighbouring places.
    """

    def __init__(self, backend: HostBackend, rows: int, capacity: int) -> None:
        self._backend = backend
        self._capacity = capacity
        self._sums: F32 = np.zeros((BINS, rows, capacity + BEFORE, GROUPS), dtype=np.float32)

    def clear(self) -> None:
        """All sums are zero."""
        self._sums[...] = 0

    def add(self, frames: U16, lower: I32, fraction: F32, good: U8 | None, threads: int) -> None:
        """Add frames (n, 2, rows, 128) at places (n, 128)."""
        self._backend.phase_sums(frames, lower, fraction, good, self._sums, self._capacity, threads)

    def take(self, columns: int, used: int) -> F32:
        """The first ``columns`` (4, 2, rows, columns); the rest of the ``used`` ones moves to the front."""
        taken: F32 = np.empty((GROUPS, BINS, self._sums.shape[1], columns), dtype=np.float32)
        _host.take_sums(sums=self._sums, capacity=self._capacity, columns=columns, used=used, taken=taken)
        return taken


def instruction_sets() -> tuple[str, ...]:
    """Builds of the kernels that this processor can run, the fastest first."""
    return tuple(_host.instruction_sets())
