"""Detector correction, stepped retrieval and phase stepping on the processor."""

from __future__ import annotations

import numpy as np

from kernels import _host
from kernels.backends.acquisition import Stepping
from kernels.settings import BINS, SETTINGS
from kernels.types import F32, U8, U16


class HostAcquisition:
    """These operations for :class:`kernels.backends.host.HostBackend`."""

    _isa: str

    def correct_frames(
        self, frames: U16, good: U8, dead_time: F32, exposure: F32, full_scale: int, paralysable: bool, threads: int
    ) -> tuple[F32, U8]:
        """Counts (n, 2, rows, 128) and flags (n, rows, 128)."""
        counts = np.empty(frames.shape, dtype=np.float32)
        flags = np.empty((len(frames), *frames.shape[2:]), dtype=np.uint8)
        _host.correct_frames(
            frames=frames,
            good=good,
            dead_time=dead_time,
            exposure=exposure,
            full_scale=full_scale,
            paralysable=paralysable,
            settings=SETTINGS.vector(),
            counts=counts,
            flags=flags,
            threads=threads,
            isa=self._isa,
        )
        return counts, flags

    def retrieve_stepped(
        self,
        samples: F32,
        curves: F32,
        positions: F32,
        pitch_um: float,
        exposure: F32,
        variance_factor: F32,
        prior: F32 | None,
        threads: int,
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns)."""
        rows, columns = samples.shape[2:]
        images = np.empty((4, BINS, rows, columns), dtype=np.float32)
        sigma, flags = np.empty_like(images), np.empty((BINS, rows, columns), dtype=np.uint16)
        if flags.size > 0:
            _host.retrieve_stepped(
                samples=samples,
                curves=curves,
                positions=positions,
                pitch=pitch_um,
                exposure=exposure,
                variance=variance_factor,
                map=prior is not None,
                prior=np.zeros(12, dtype=np.float32) if prior is None else prior,
                settings=SETTINGS.vector(),
                images=images,
                sigma=sigma,
                flags=flags,
                threads=threads,
                isa=self._isa,
            )
        return images, sigma, flags

    def retrieve_sinusoid(
        self, sample: Stepping, reference: Stepping, period_um: float, variance_factor: float, threads: int
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, n) and flags (n,)."""
        count = sample.samples.shape[1]
        images = np.empty((4, count), dtype=np.float32)
        sigma, flags = np.empty_like(images), np.empty(count, dtype=np.uint16)
        _host.retrieve_sinusoid(
            samples=sample.samples,
            projection=sample.projection,
            basis=sample.basis,
            reference=reference.samples,
            reference_projection=reference.projection,
            reference_basis=reference.basis,
            period=period_um,
            variance_factor=variance_factor,
            settings=SETTINGS.vector(),
            images=images,
            sigma=sigma,
            flags=flags,
            threads=threads,
            isa=self._isa,
        )
        return images, sigma, flags
