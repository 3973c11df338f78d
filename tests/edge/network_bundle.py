"""A network of a few hundred weights that nobody trained, as a signed bundle: dark-field to heat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from calibration.signing import KeyStore
from edge.inference.bundle import GoldenVectors, golden_file, sha256, write
from edge.inference.manifest import Manifest
from edge.inference.model_file import shipped
from tests.edge.inference_scene import GRID_UM, PITCH_UM

PLANES = ("dark_field low", "attenuation low", "valid")
STRIDE, HALO = 8, 16
#: Heat of what scatters: so much per µm² of dark-field, less a constant.
PER_UM2, CONSTANT = 0.15, 3.0
FUSION: dict[str, Any] = {
    "material_sha256": shipped(80).manifest.sha256, "heat_weight": 1.0, "material_weight": 0.5, "uncovered": -1.0,
    "bias": 0.0, "target_rate": 0.9, "threshold": 0.5, "bags": 10, "targets": 5, "detections": 0.9,
    "false_alarms": 0.1,
}  # fmt: skip


def graph(planes: int = len(PLANES), seed: int | None = None, outputs: tuple[str, str] = ("heat", "score")) -> bytes:
    """Mean of 5 × 5 pixels, cells of 8 × 8, 3 × 3 cells: an ONNX graph. ``seed``: with random weights instead."""
    first = np.zeros((2, planes, 5, 5), np.float32)
    first[0, 0, 2, 2] = first[1, min(1, planes - 1), 2, 2] = 1.0
    second = np.zeros((1, 2, 3, 3), np.float32)
    second[0, 0, 1, 1] = PER_UM2
    bias = np.array([-CONSTANT], np.float32)
    if seed is not None:
        rng = np.random.default_rng(seed)
        first = rng.standard_normal(first.shape, np.float32) / np.float32(5)
        second = rng.standard_normal(second.shape, np.float32) / np.float32(5)
    heat, score = outputs
    nodes = [
        helper.make_node("Conv", ["planes", "first"], ["mapped"], pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["mapped"], ["positive"]),
        helper.make_node("AveragePool", ["positive"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Conv", ["cells", "second", "bias"], [heat], pads=[1, 1, 1, 1]),
        helper.make_node("AveragePool", [heat], ["smooth"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalMaxPool", ["smooth"], ["highest"]),
        helper.make_node("Flatten", ["highest"], [score]),
    ]
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        nodes,
        "tiny",
        [value("planes", TensorProto.FLOAT, ["batch", planes, "rows", "columns"])],
        [
            value(heat, TensorProto.FLOAT, ["batch", 1, "heat_rows", "heat_columns"]),
            value(score, TensorProto.FLOAT, ["batch", 1]),
        ],
        [numpy_helper.from_array(w, n) for w, n in ((first, "first"), (second, "second"), (bias, "bias"))],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def golden(content: bytes, planes: int = len(PLANES)) -> GoldenVectors:
    """What ``content`` gives for two random images."""
    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((2, planes, 32, 48)).astype(np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    heat, score = session.run(None, {"planes": inputs})
    return GoldenVectors(inputs, {"fp32": heat}, {"fp32": score})


def content(
    onnx_bytes: bytes | None = None,
    vectors: GoldenVectors | None = None,
    fusion: dict[str, Any] | None = FUSION,
    **changes: Any,
) -> tuple[Manifest, dict[str, bytes]]:
    """Manifest and files of a bundle; ``changes`` are fields of the manifest."""
    onnx_bytes = graph() if onnx_bytes is None else onnx_bytes
    files = {"model.onnx": onnx_bytes, "golden.npz": golden_file(vectors or golden(onnx_bytes))}
    one = {
        "file": "model.onnx",
        "sha256": sha256(onnx_bytes),
        "threshold": 0.5,
        "tolerance": 1e-4,
        "fusion": fusion,
    }
    fields: dict[str, Any] = {
        "name": "tiny",
        "version": "1",
        "inputs": {"planes": PLANES, "row_pitch_um": PITCH_UM, "grid_um": GRID_UM, "tube_kv": (80,)},
        "stride": STRIDE,
        "halo": HALO,
        "pooling": {"window": 3},
        "role": "active" if fusion else "shadow",
        "graphs": {"fp32": one},
        "golden": {"sha256": sha256(files["golden.npz"])},
        "data": {"description": "simulated: nothing, it was not trained"},
    }
    return Manifest.model_validate({**fields, **changes}), files


def bundle(models: Path, **changes: Any) -> Path:
    """A bundle in the folder ``models`` of a lane, signed with the key in ``<models>/keys``."""
    manifest, files = content(**changes)
    return write(models, manifest, files, KeyStore(models / "keys"))


def altered(path: Path, name: str, change: Any) -> None:
    """Replace file ``name`` of the bundle by ``change(its bytes)``."""
    (path / name).write_bytes(change((path / name).read_bytes()))


Array = npt.NDArray[np.float32]
