"""The CPU back end: the compiled kernels of :mod:`kernels._host`."""

from __future__ import annotations

import numpy as np

from kernels.reference import retrieval
from kernels.types import F32, U16, IlluminationCurves, OffsetPrior


class HostBackend:
    """Runs every kernel on the processor, with SIMD lanes over pixels and OpenMP threads."""

    name = "host"

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
        parts = IlluminationCurves(curves[..., 0:4], curves[..., 4:8], curves[..., 8:12], curves[..., 12])
        wide = prior.astype(np.float64)
        images, sigma, flags = retrieval.retrieve(
            samples.astype(np.float64),
            parts,
            x_um,
            exposure.astype(np.float64),
            variance_factor.astype(np.float64),
            ("paper", "full", "map")[model],
            OffsetPrior(wide[:10].reshape(2, 5), wide[10:]),
        )
        return (
            np.ascontiguousarray(images, dtype=np.float32),
            np.ascontiguousarray(sigma, dtype=np.float32),
            np.ascontiguousarray(flags),
        )
