"""The seam behind which every executor of a network lives: planes go in, heat and score come out.

The choice is ``[inference] runtime``; it is logged once and carried in every verdict. Nothing falls back silently: a
runtime that was asked for by name and cannot run is an error.
"""

from __future__ import annotations

from typing import Literal, Protocol

from edge.inference.bundle import ModelBundle, ModelBundleError
from kernels.types import F32

#: Values of ``[inference] runtime``; ``auto`` takes the best one that this machine has.
Choice = Literal["auto", "onnxruntime", "tensorrt"]


class Runtime(Protocol):
    """One graph, ready to run."""

    @property
    def name(self) -> str:
        """What executes it and in which precision, as verdicts carry it: ``onnxruntime-int8``."""

    def run(self, planes: F32) -> tuple[F32, F32]:
        """Heat (n, 1, rows / stride, columns / stride) and score (n, 1), logits, of planes (n, C, rows, columns)."""

    def close(self) -> None:
        """Give back memory and device."""


def open_runtime(bundle: ModelBundle, choice: Choice, threads: int) -> Runtime:
    """The runtime of ``choice`` for ``bundle``; :class:`ModelBundleError` says what is in the way."""
    if choice == "tensorrt":
        raise ModelBundleError(
            "[inference] runtime = 'tensorrt', but this installation has no TensorRT backend; "
            "set runtime = 'onnxruntime' or 'auto'"
        )
    from edge.inference.onnx_backend import OnnxRuntime  # noqa: PLC0415  # 50 ms, and only where a network runs

    return OnnxRuntime(bundle, bundle.manifest.precision, threads)
