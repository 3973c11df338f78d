"""The TensorRT runtime on stand-ins of TensorRT and pycuda; no GPU has run it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from calibration.signing import KeyStore
from edge.config import Config
from edge.inference import tensorrt_device
from edge.inference.bundle import ModelBundleError, load
from edge.inference.heat import HeatStream
from edge.inference.model_file import shipped
from edge.inference.model_folder import ENGINES, ModelFolder
from edge.inference.models import Models, RefusedModel
from edge.inference.runtime import check_available
from edge.inference.tensorrt_backend import TensorRtRuntime
from firmware_bridge.scanner import Scanner
from tests.edge import network_bundle as tiny
from tests.edge.gpu import pycuda_standin, tensorrt_objects
from tests.edge.gpu.installed import Install, bundle, install, opened, uneven
from tests.edge.gpu.pycuda_standin import Machine

__all__ = ["install"]


@pytest.mark.parametrize("behind", [False, True], ids=["work done at once", "work left in the queue"])
def test_a_bag_gives_the_heat_of_onnx_runtime(tmp_path: Path, install: Install, behind: bool) -> None:
    site = install(Machine(behind))
    made = bundle(tmp_path)
    network = opened(made)
    assert network.runtime.name == "tensorrt-int8-fp16"
    assert site.builds == [("FP16", "INT8", "TF32")]
    rng = np.random.default_rng(3)
    planes = rng.standard_normal((3, Scanner().rows, 700), np.float32)
    allocations = site.machine.calls.count("mem_alloc")
    stream = HeatStream(network.runtime, Scanner().rows, network.manifest.stride, network.manifest.halo)
    for start in range(0, 700, 90):
        stream.add(planes[..., start : start + 90])
    heat = stream.finish()
    session = onnxruntime.InferenceSession(made.graph("tensorrt"), providers=["CPUExecutionProvider"])
    rows = -(-planes.shape[1] // 8) * 8
    whole = np.pad(planes, ((0, 0), (0, rows - planes.shape[1]), (0, -700 % 8)))[None]
    expected, _ = session.run(["heat", "score"], {"planes": whole})
    np.testing.assert_allclose(heat, expected[0, 0], atol=1e-4)
    assert site.machine.calls.count("mem_alloc") == allocations == 3  # none while a bag moves
    network.runtime.close()
    network.runtime.close()
    assert site.machine.clean
    with pytest.raises(RuntimeError, match="is closed"):
        network.runtime.run(whole)


def test_a_wait_that_is_missing_would_be_noticed(
    tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(Machine(behind=True))
    monkeypatch.setattr(pycuda_standin.Event, "synchronize", lambda self: self)
    with pytest.raises(ModelBundleError, match="heat differs by nan"):
        opened(bundle(tmp_path))


def test_a_model_that_nobody_uses_gives_the_gpu_back(tmp_path: Path, install: Install) -> None:
    site = install()
    network = opened(bundle(tmp_path))
    assert not site.machine.clean
    del network
    gc.collect()
    assert site.machine.clean


def test_without_a_graph_for_it_fp32_is_taken(tmp_path: Path, install: Install) -> None:
    site = install()
    made = load(tiny.bundle(tmp_path), KeyStore(tmp_path / "keys"))
    assert opened(made).runtime.name == "tensorrt-fp16"
    site.drift = {"FP16": 1.0}
    assert opened(made).runtime.name == "tensorrt-fp32"
    assert site.builds[-1] == ()


def test_what_cannot_be_built_names_the_cause(tmp_path: Path, install: Install) -> None:
    site = install()
    for graph, words in (
        (b"no graph", r"cannot read the graph: node \? \(\?\): Failed to parse"),
        (uneven(), r"node quantise \(QuantizeLinear\): only symmetric"),
    ):
        with pytest.raises(ModelBundleError, match=words):
            opened(bundle(tmp_path / words[:12], graph))
    site.build_fails = "Could not find any implementation for node conv1"
    with pytest.raises(ModelBundleError, match=r"cannot build an int8-fp16 engine: Could not find .* conv1; free"):
        opened(bundle(tmp_path / "b"))
    assert opened(bundle(tmp_path / "c"), "auto").runtime.name == "onnxruntime-fp32"
    site.build_fails, site.machine.memory_left = "", 1000
    with pytest.raises(ModelBundleError, match=r"no room for it \(cuMemAlloc failed: out of memory\)"):
        opened(bundle(tmp_path / "d"))
    assert site.machine.clean


def test_images_that_an_engine_was_not_built_for_are_refused(tmp_path: Path, install: Install) -> None:
    install()
    network = opened(bundle(tmp_path))
    assert isinstance(network.runtime, TensorRtRuntime)
    wrong: Any
    for wrong in (
        np.zeros((1, 3, 8, 64), np.float32),
        np.zeros((1, 2, 64, 64), np.float32),
        np.zeros((1, 3, 64, 9000), np.float32),
        np.zeros((1, 3, 64, 64), np.float64),
        np.zeros((3, 64, 64), np.float32),
    ):
        with pytest.raises(ValueError, match=r"was built for float32 \(n, 3, 16 to"):
            network.runtime.run(wrong)


def test_what_is_missing_is_named(tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture) -> None:
    made = bundle(tmp_path)
    none, broken = Machine(), Machine()
    none.gpus, broken.gpus = 0, -1
    for words, partly, arguments in (
        ("module tensorrt cannot be imported", False, {"tensorrt": False}),
        ("pycuda cannot be imported", True, {"pycuda": False}),
        ("no GPU is found", True, {"machine": none}),
        ("cuInit failed: no CUDA-capable device", True, {"machine": broken}),
        ("11 removed the flags for FP16 and INT8", True, {"version": "11.0.1"}),
        ("TensorRT 8.6.1 is installed; .* older ones lack", True, {"version": "8.6.1"}),
    ):
        install(**arguments)
        for asked in (lambda: opened(made), lambda: check_available("tensorrt")):
            with pytest.raises(ModelBundleError, match=f"runtime = 'tensorrt', but .*{words}"):
                asked()
        caplog.clear()
        check_available("auto")
        assert opened(made, "auto").runtime.name == "onnxruntime-fp32"
        assert ("TensorRT is not used" in caplog.text) == partly


def test_a_service_that_was_told_to_use_it_does_not_start_without(tmp_path: Path) -> None:
    lane = tmp_path / "lane.toml"
    lane.write_text(f'[lane]\nstate_dir = "{tmp_path}"\n[inference]\nruntime = "tensorrt"\n')
    command = [sys.executable, "-m", "edge.inference.main", "--config", str(lane)]
    (tmp_path / "tensorrt.py").write_text("raise ImportError('none here')\n")
    where = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=where)
    assert ended.returncode == 2
    assert "runtime = 'tensorrt', but the Python module tensorrt cannot be imported (none here)" in ended.stderr


def test_auto_takes_the_gpu_of_the_lane(tmp_path: Path, install: Install) -> None:
    site = install()
    config = Config.model_validate({"lane": {"state_dir": tmp_path}})
    folder = ModelFolder(tmp_path)
    folder.pointer("active").set(bundle(folder.path).id)
    folder.pointer("shadow").set("none")
    models = Models(config, shipped(80), folder)
    assert not isinstance(models.current, RefusedModel)
    assert models.current.identity.runtime == "tensorrt-int8-fp16"
    assert list((tmp_path / ENGINES).glob("*.engine"))
    models.close()
    del models
    gc.collect()
    assert site.machine.clean


def test_errors_of_tensorrt_are_logged_and_kept(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install()
    found = tensorrt_device.find()
    severity = tensorrt_objects.ILogger.Severity
    found.log.log(severity.WARNING, "so so")
    found.log.log(severity.ERROR, "bad")
    assert "TensorRT: bad" in caplog.text
    assert tensorrt_device.last_words(found.log) == "bad"
    assert tensorrt_device.last_words(found.log) == "it gave no reason"


def test_the_stand_ins_refuse_what_a_gpu_would(tmp_path: Path, install: Install) -> None:
    site = install()
    runtime = opened(bundle(tmp_path)).runtime
    assert isinstance(runtime, TensorRtRuntime)
    machine, on = site.machine, runtime._on
    driver = sys.modules["pycuda.driver"]
    image = np.zeros(12, np.float32)
    with pytest.raises(pycuda_standin.Error, match="invalid device context"):
        driver.memcpy_htod_async(on.memory["planes"], on.pinned["planes"], on.stream)
    with runtime._device.current():
        with pytest.raises(AssertionError, match="not page-locked"):
            driver.memcpy_htod_async(on.memory["planes"], image, on.stream)
        with pytest.raises(AssertionError, match="floats, 1 were taken"):
            driver.memcpy_htod_async(on.memory["score"], on.pinned["planes"], on.stream)
        fresh = on.engine.create_execution_context()
        assert fresh.infer_shapes() == ["planes"]
        assert not fresh.set_input_shape("planes", (2, 3, 64, 64))
        assert fresh.set_input_shape("planes", (1, 3, 64, 64))
        assert not fresh.execute_async_v3(on.stream.handle)
        assert runtime._device.log.errors[-1] == "not set: ['heat', 'planes', 'score']"
        on.memory.pop("heat").free()
        with pytest.raises(AssertionError, match="freed, or never taken"):
            on.execution.execute_async_v3(on.stream.handle)
    with pytest.raises(AttributeError):
        sys.modules["tensorrt"].no_such_name  # noqa: B018
    runtime.close()
    assert machine.clean
