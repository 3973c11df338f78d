"""Detector correction, stepped retrieval and phase stepping on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.backends.acquisition import Stepping
from kernels.backends.cuda_memory import Memory
from kernels.settings import BINS
from kernels.types import F32, U8, U16


class CudaAcquisition:
    """These operations for :class:`kernels.backends.cuda.CudaBackend`."""

    lock: Any
    stream: Any
    memory: Memory

    def launch(self, name: str, count: int, *arguments: Any) -> None:
        """Defined by the back end."""
        raise AssertionError

    def launch_acquisition_once(self) -> None:
        """Load the code of these kernels."""
        pixel, one, prior = np.ones((3, BINS, 1, 1), np.float32), np.ones(1, np.float32), np.zeros(12, np.float32)
        curves = np.ones((4, BINS, 1, 1), dtype=np.float32)
        positions = np.array([-1.0, 0.0, 1.0], dtype=np.float32)
        exposure = np.ones((3, 1), dtype=np.float32)
        for given in (None, prior):
            self.retrieve_stepped(pixel, curves, positions, 75.0, exposure, one, given, 1)
        stepping = Stepping(pixel.reshape(3, BINS), np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32))
        self.retrieve_sinusoid(stepping, stepping, 75.0, 1.0, 1)
        line = np.ones((1, 128), dtype=np.float32)
        frames = np.ones((1, BINS, 1, 128), dtype=np.uint16)
        self.correct_frames(frames, line.astype(np.uint8), line, one, 65535, False, 1)

    def correct_frames(
        self, frames: U16, good: U8, dead_time: F32, exposure: F32, full_scale: int, paralysable: bool, threads: int
    ) -> tuple[F32, U8]:
        """Counts (n, 2, rows, 128) and flags (n, rows, 128). ``threads`` has no meaning here."""
        n, rows, columns = len(frames), *frames.shape[2:]
        memory = self.memory
        with self.lock, self.stream:
            counts = memory.device("counts", frames.shape, np.float32)
            flags = memory.device("frame_flags", (n, rows, columns), np.uint8)
            self.launch(
                "correct_frames",
                rows * columns,
                memory.send("raw_frames", frames),
                memory.send("usable", good),
                memory.send("dead_time", dead_time),
                memory.send("frame_exposure", exposure),
                np.float32(full_scale),
                np.int32(paralysable),
                np.int32(n),
                np.int32(rows * columns),
                counts,
                flags,
            )
            host_counts, host_flags = memory.fetch(counts=counts, frame_flags=flags)
        return host_counts, host_flags

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
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns). ``threads`` has no meaning here."""
        rows, columns = samples.shape[2:]
        bins_apart = BINS if prior is None else 1
        problems = rows * columns * bins_apart
        memory = self.memory
        with self.lock, self.stream:
            images = memory.device("stepped_images", (4, BINS, rows, columns), np.float32)
            sigma = memory.device("stepped_sigma", (4, BINS, rows, columns), np.float32)
            flags = memory.device("stepped_flags", (BINS, rows, columns), np.uint16)
            self.launch(
                "retrieve_stepped_full" if prior is None else "retrieve_stepped_map",
                problems,
                memory.send("stepped_samples", samples),
                memory.send("stepped_curves", curves),
                np.int32(rows * curves.shape[3] * bins_apart),
                memory.send("stepped_positions", positions),
                np.int32(len(positions)),
                np.int32(curves.shape[0] // 3),
                np.float32(pitch_um),
                memory.send("stepped_exposure", exposure),
                memory.send("stepped_variance", variance_factor),
                memory.send("stepped_prior", np.zeros(12, dtype=np.float32) if prior is None else prior),
                np.int32(problems),
                np.int32(columns),
                images,
                sigma,
                flags,
            )
            found = memory.fetch(stepped_images=images, stepped_sigma=sigma, stepped_flags=flags)
        return found[0], found[1], found[2]

    def retrieve_sinusoid(
        self, sample: Stepping, reference: Stepping, period_um: float, variance_factor: float, threads: int
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, n) and flags (n,). ``threads`` has no meaning here."""
        count = sample.samples.shape[1]
        memory = self.memory
        with self.lock, self.stream:
            images = memory.device("fringe_images", (4, count), np.float32)
            sigma = memory.device("fringe_sigma", (4, count), np.float32)
            flags = memory.device("fringe_flags", (count,), np.uint16)
            self.launch(
                "retrieve_sinusoid",
                count,
                *self._send_stepping("fringes", sample),
                *self._send_stepping("reference", reference),
                np.float32(period_um),
                np.float32(variance_factor),
                np.int32(count),
                images,
                sigma,
                flags,
            )
            found = memory.fetch(fringe_images=images, fringe_sigma=sigma, fringe_flags=flags)
        return found[0], found[1], found[2]

    def _send_stepping(self, name: str, stepping: Stepping) -> tuple[Any, ...]:
        parts = (stepping.samples, stepping.projection, stepping.basis)
        sent = (self.memory.send(f"{name}_{k}", part) for k, part in enumerate(parts))
        return (*sent, np.int32(len(stepping.samples)))
