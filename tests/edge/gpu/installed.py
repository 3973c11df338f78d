"""A machine with the stand-ins of TensorRT and pycuda, and a bundle for it."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from calibration.signing import KeyStore
from edge.inference.bundle import GoldenVectors, ModelBundle, golden_file, load, sha256, write
from edge.inference.network import Network, open_network
from edge.inference.runtime import Choice
from firmware_bridge.scanner import Scanner
from tests.edge import network_bundle as tiny
from tests.edge.gpu import pycuda_standin, tensorrt_standin
from tests.edge.gpu.pycuda_standin import Machine
from tests.edge.gpu.tensorrt_standin import Site

Install = Callable[..., Site]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put TensorRT, pycuda and a GPU into this process, or some of them."""

    def made(
        machine: Machine | None = None, version: str = "10.3.0", tensorrt: bool = True, pycuda: bool = True
    ) -> Site:
        site = Site(machine or Machine(), version)

        def module(name: str, content: dict[str, Any] | None) -> None:
            found = None
            if content is not None:
                found = types.ModuleType(name)
                vars(found).update(content)
            monkeypatch.setitem(sys.modules, name, found)

        module("tensorrt", tensorrt_standin.module(site) if tensorrt else None)
        module("pycuda", {} if pycuda else None)
        module("pycuda.driver", pycuda_standin.driver(site.machine) if pycuda else None)
        return site

    return made


def quantised() -> bytes:
    """The tiny network with one symmetric Q/DQ pair, as ``model.tensorrt.onnx`` has them."""
    model = onnx.load_from_string(tiny.graph())
    scale, zero = numpy_helper.from_array(np.float32(0.05), "step"), numpy_helper.from_array(np.int8(0), "zero")
    first = model.graph.node[0]
    first.input[0] = "planes_dq"
    pair = [
        helper.make_node("QuantizeLinear", ["planes", "step", "zero"], ["planes_q"], name="quantise"),
        helper.make_node("DequantizeLinear", ["planes_q", "step", "zero"], ["planes_dq"], name="dequantise"),
    ]
    nodes = [*pair, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend([scale, zero])
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def bundle(folder: Path, gpu_graph: bytes | None = None) -> ModelBundle:
    """The tiny bundle with a graph ``tensorrt`` beside fp32."""
    manifest, files = tiny.content()
    gpu_graph = quantised() if gpu_graph is None else gpu_graph
    vectors = tiny.golden(files["model.onnx"])
    session = onnxruntime.InferenceSession(quantised(), providers=["CPUExecutionProvider"])
    heat, score = session.run(["heat", "score"], {"planes": vectors.planes})
    files["model.tensorrt.onnx"] = gpu_graph
    files["golden.npz"] = golden_file(
        GoldenVectors(vectors.planes, {**vectors.heat, "tensorrt": heat}, {**vectors.score, "tensorrt": score})
    )
    one = manifest.graphs["fp32"].model_dump() | {"file": "model.tensorrt.onnx", "sha256": sha256(gpu_graph)}
    fields = manifest.model_dump() | {"golden": {"sha256": sha256(files["golden.npz"])}}
    fields["graphs"] = {**fields["graphs"], "tensorrt": one}
    keys = KeyStore(folder / "keys")
    return load(write(folder, type(manifest).model_validate(fields), files, keys), keys)


def opened(made: ModelBundle, choice: Choice = "tensorrt", engines: Path | None = None) -> Network:
    return open_network(made, choice, 1, Scanner(), engines)


def uneven() -> bytes:
    """A Q/DQ pair with a zero point, as CPUs take it."""
    model = onnx.load_from_string(quantised())
    (zero,) = (each for each in model.graph.initializer if each.name == "zero")
    zero.CopyFrom(numpy_helper.from_array(np.int8(3), "zero"))
    return bytes(model.SerializeToString())
