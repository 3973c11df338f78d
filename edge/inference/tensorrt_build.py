"""An engine from an ONNX graph, on the device that will run it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

from edge.inference.bundle import ModelBundleError
from edge.inference.manifest import Precision
from edge.inference.runtime import INPUT
from edge.inference.tensorrt_device import last_words

log = logging.getLogger("inference")

#: What the arithmetic of an engine may be, in the order in which it is tried: what fails the golden vectors is
#: followed by the one with less FP16. INT8 comes from the graph's own Q/DQ pairs, never from a calibrator.
Arithmetic = Literal["int8-fp16", "int8", "fp16", "fp32"]
LADDER: dict[Precision, tuple[Arithmetic, ...]] = {"tensorrt": ("int8-fp16", "int8"), "fp32": ("fp16", "fp32")}
_SET: dict[Arithmetic, tuple[str, ...]] = {
    "int8-fp16": ("INT8", "FP16"),
    "int8": ("INT8",),
    "fp16": ("FP16",),
    "fp32": (),
}
#: Memory that one layer may use while it runs, bytes: a Jetson shares its memory with everything else.
WORKSPACE = 512 << 20


@dataclass(frozen=True)
class Shapes:
    """Rows and columns of images (1, planes, rows, columns) that an engine takes; it is fastest at ``usual``."""

    planes: int
    smallest: tuple[int, int]
    usual: tuple[int, int]
    largest: tuple[int, int]

    def profile(self) -> tuple[tuple[int, int, int, int], ...]:
        """Smallest, usual and largest as TensorRT's optimisation profiles have them."""
        return tuple((1, self.planes, *size) for size in (self.smallest, self.usual, self.largest))

    def __str__(self) -> str:
        each = (f"{rows}x{columns}" for rows, columns in (self.smallest, self.usual, self.largest))
        return f"{self.planes} planes of " + " ".join(each)


def build(
    trt: Any, messages: Any, graph: bytes, shapes: Shapes, arithmetic: Arithmetic, timings: bytes
) -> tuple[bytes, bytes]:
    """Serialised engine and timing cache. ``timings``: an earlier timing cache of this device, or nothing.

    Takes minutes. :class:`ModelBundleError` lists what the parser or the builder refused.
    """
    messages.errors.clear()
    builder = trt.Builder(messages)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, messages)
    if not parser.parse(graph):
        wrong = "; ".join(_told(parser.get_error(index)) for index in range(parser.num_errors))
        raise ModelBundleError(f"TensorRT {trt.__version__} cannot read the graph: {wrong or last_words(messages)}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE)
    for name in _SET[arithmetic]:
        config.set_flag(getattr(trt.BuilderFlag, name))
    if "FP16" not in _SET[arithmetic]:
        # On by default: ten bits of mantissa are not what "fp32" says.
        config.clear_flag(trt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    smallest, usual, largest = shapes.profile()
    profile.set_shape(INPUT, smallest, usual, largest)
    if config.add_optimization_profile(profile) < 0:
        raise ModelBundleError(f"TensorRT {trt.__version__} refuses {shapes} for {INPUT!r}: {last_words(messages)}")
    cache = config.create_timing_cache(timings)
    if not config.set_timing_cache(cache, False):
        log.warning("TensorRT's timings are of another device or version; everything is timed again")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise ModelBundleError(
            f"TensorRT {trt.__version__} cannot build an {arithmetic} engine: {last_words(messages)}; "
            "free memory on the device, or set [inference] runtime = 'onnxruntime'"
        )
    return bytes(memoryview(engine)), bytes(memoryview(config.get_timing_cache().serialize()))


def _told(error: Any) -> str:
    """One error of the parser: node, its operator, and what is wrong."""
    return f"node {error.node_name() or '?'} ({error.node_operator() or '?'}): {error.desc()}"
