"""Eight-bit graphs: U8S8 for CPUs, symmetric S8S8 for TensorRT; both with Q/DQ pairs from statistics of real planes."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from kernels.types import F32
from training.fit_network.export import INPUT, OPSET, ExportError

Kind = Literal["int8", "tensorrt"]
#: The last convolutions make heat and score: they stay as they are.
LAST = 2
#: What becomes 8-bit. Averages, products and ratios stay in floating point: squares of small differences need it.
OPERATORS = ["Conv", "Add", "Relu"]
#: Settings that TensorRT's explicit quantisation asks for: zero point 0 everywhere, bias in floating point.
_TENSORRT = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": True}


class _Planes(CalibrationDataReader):
    """Planes one after the other."""

    def __init__(self, planes: Sequence[F32]) -> None:
        self._left = iter(planes)

    def get_next(self) -> dict[str, F32] | None:
        """The next input, None at the end."""
        planes = next(self._left, None)
        return None if planes is None else {INPUT: planes[None]}


def floating(content: bytes) -> list[str]:
    """Nodes that stay in floating point: all that make ratios, slopes and texture, and what follows the last wide
    convolution.

    Eight bits go from convolution to convolution only: what passes a sum or a ReLU in between stays among them, while
    the variance of a texture has a ReLU and a sum of its own, and ranges that leave nothing of small ones.
    """
    nodes = onnx.load_from_string(content).graph.node
    kept = {node.name for node in [node for node in nodes if node.op_type == "Conv"][-LAST:]}
    eight: set[str] = set()
    for node in nodes:
        given = [name for name in node.input if name]
        if node.op_type == "Conv" or (node.op_type in OPERATORS and set(given) <= eight):
            eight |= set(node.output)
        else:
            kept.add(node.name)
    return sorted(kept)


def _first_input(content: bytes) -> str:
    """Tensor that the first convolution takes: the planes over their ranges."""
    return str(next(node for node in onnx.load_from_string(content).graph.node if node.op_type == "Conv").input[0])


def _inputs(path: Path) -> dict[str, object]:
    """Planes are quantised over their ranges, not over the worst pixel that was ever met; what exceeds saturates."""
    span = {"rmin": np.float32(-1), "rmax": np.float32(1)}
    return {"TensorQuantOverrides": {_first_input(path.read_bytes()): [span]}}


def quantised(content: bytes, planes: Sequence[F32], kind: Kind) -> bytes:
    """The eight-bit graph of ``kind``; ranges are those met on ``planes`` (each C, rows, columns) of training scans."""
    if not planes:
        raise ValueError("quantisation needs planes of some scans; none were given")
    with tempfile.TemporaryDirectory() as folder:
        source, ready, out = (Path(folder) / name for name in ("source.onnx", "ready.onnx", "out.onnx"))
        source.write_bytes(content)
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        activations = QuantType.QUInt8 if kind == "int8" else QuantType.QInt8
        quantize_static(
            str(ready),
            str(out),
            _Planes(planes),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=OPERATORS,
            nodes_to_exclude=floating(ready.read_bytes()),
            per_channel=True,
            activation_type=activations,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={**(_TENSORRT if kind == "tensorrt" else {"WeightSymmetric": True}), **_inputs(ready)},
        )
        made = out.read_bytes()
    model = onnx.load_from_string(made)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    if versions.get("", OPSET) > 20:
        raise ExportError(f"quantised graph has opset {versions}; TensorRT 10.3 takes 20 at most")
    return made
