"""The seam behind which every executor of a network lives: planes go in, heat and score come out.

The choice is ``[inference] runtime``; it is logged once and carried in every verdict. Nothing falls back silently: a
runtime that was asked for by name and cannot run is an error, and ``auto`` says what it passes over.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edge.inference.bundle import ModelBundle, ModelBundleError
from edge.inference.manifest import Precision
from kernels.types import F32

log = logging.getLogger("inference")

#: Values of ``[inference] runtime``; ``auto`` takes the best one that this machine has.
Choice = Literal["auto", "onnxruntime", "tensorrt"]
#: Tensors of every graph.
INPUT, OUTPUTS = "planes", ("heat", "score")


class Runtime(Protocol):
    """One graph, ready to run."""

    @property
    def name(self) -> str:
        """What executes it and in which precision, as verdicts carry it: ``onnxruntime-int8``."""

    def run(self, planes: F32) -> tuple[F32, F32]:
        """Heat (n, 1, rows / stride, columns / stride) and score (n, 1), logits, of planes (n, C, rows, columns)."""

    def close(self) -> None:
        """Give back memory and device."""


class Candidate(Protocol):
    """A way to run a bundle that may be tried. It is told whether the golden vectors were reproduced."""

    @property
    def graph(self) -> Precision:
        """Which of the bundle's graphs it executes."""

    def open(self) -> Runtime:
        """The runtime; :class:`ModelBundleError` says what is in the way."""

    def accepted(self) -> None:
        """The runtime that it opened reproduces the golden vectors."""

    def refused(self, why: str) -> None:
        """It does not, by this much."""


@dataclass(frozen=True)
class OnnxCandidate:
    """ONNX Runtime on the CPU, with the graph that the manifest names for it."""

    bundle: ModelBundle
    threads: int

    @property
    def graph(self) -> Precision:
        """The manifest's ``precision``."""
        return self.bundle.manifest.precision

    def open(self) -> Runtime:
        """A session."""
        from edge.inference.onnx_backend import OnnxRuntime  # noqa: PLC0415  # 50 ms, and only where a network runs

        return OnnxRuntime(self.bundle, self.graph, self.threads)

    def accepted(self) -> None:
        """Nothing is kept."""

    def refused(self, why: str) -> None:
        """Nothing is kept."""


def candidates(
    bundle: ModelBundle, choice: Choice, threads: int, rows: int, engines: Path | None
) -> Sequence[Candidate]:
    """What ``choice`` allows on this machine, best first. ``rows`` of the lane's images, pixels.

    ``engines``: folder of the engines built here; None builds them anew each time. :class:`ModelBundleError` when
    TensorRT was asked for by name and something of it is missing.
    """
    on_cpu = OnnxCandidate(bundle, threads)
    if choice == "onnxruntime":
        return [on_cpu]
    from edge.inference.tensorrt_device import TensorRtMissing, find  # noqa: PLC0415
    from edge.inference.tensorrt_engines import engines_for  # noqa: PLC0415  # it takes the seam from here

    try:
        on_gpu = engines_for(bundle, find(), rows, engines)
    except TensorRtMissing as error:
        if choice == "tensorrt":
            raise ModelBundleError(asked_for(error)) from error
        if error.partly:
            log.warning("TensorRT is not used: %s", error)
        return [on_cpu]
    return on_gpu if choice == "tensorrt" else [*on_gpu, on_cpu]


def check_available(choice: Choice) -> None:
    """:class:`ModelBundleError` when a runtime was asked for by name that this machine does not have."""
    if choice == "tensorrt":
        from edge.inference.tensorrt_device import TensorRtMissing, find  # noqa: PLC0415

        try:
            find()
        except TensorRtMissing as error:
            raise ModelBundleError(asked_for(error)) from error


def asked_for(error: Exception) -> str:
    """Says what is missing of the runtime that the configuration names."""
    return f"[inference] runtime = 'tensorrt', but {error}; or set runtime = 'onnxruntime' or 'auto'"
