"""The CPU back end: the compiled kernels of :mod:`kernels._host`."""

from __future__ import annotations

import numpy as np

from kernels import _host
from kernels.settings import BINS, SETTINGS
from kernels.types import F32, U16


class HostBackend:
    """Runs every kernel on the processor, with SIMD lanes over pixels and OpenMP threads.

    ``isa``: one of :func:`instruction_sets`, or empty for the fastest that this processor has.
    """

    name = "host"

    def __init__(self, isa: str = "") -> None:
        self._isa = isa
        self._settings = SETTINGS.vector()

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
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns)."""
        rows, columns = samples.shape[2:]
        images, sigma = np.empty_like(samples), np.empty_like(samples)
        flags = np.empty((BINS, rows, columns), dtype=np.uint16)
        _host.retrieve(
            samples=samples,
            curves=curves,
            x=x_um,
            exposure=exposure,
            variance=variance_factor,
            model=model,
            prior=prior,
            settings=self._settings,
            images=images,
            sigma=sigma,
            flags=flags,
            threads=threads,
            isa=self._isa,
        )
        return images, sigma, flags


def instruction_sets() -> tuple[str, ...]:
    """Builds of the kernels that this processor can run, the fastest first."""
    return tuple(_host.instruction_sets())
