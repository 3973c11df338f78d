"""The TensorRT runtime on stand-ins of TensorRT and pycuda; no GPU has run it."""

from __future__ import annotations

import gc
import inspect
import json
import logging
import os
import subprocess
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
from edge.config import Config
from edge.inference import engine_cache, tensorrt_device
from edge.inference.bundle import GoldenVectors, ModelBundle, ModelBundleError, golden_file, load, sha256, write
from edge.inference.heat import HeatStream
from edge.inference.model_file import shipped
from edge.inference.model_folder import ENGINES, ModelFolder
from edge.inference.models import Models, RefusedModel
from edge.inference.network import Network, open_network
from edge.inference.runtime import Choice, check_available
from edge.inference.tensorrt_backend import TensorRtRuntime
from firmware_bridge.scanner import Scanner
from tests.edge import network_bundle as tiny
from tests.edge.gpu import bindings, pycuda_standin, tensorrt_standin
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


def test_an_engine_is_built_once(tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = install()
    made, engines = bundle(tmp_path / "models"), tmp_path / ENGINES
    opened(made, engines=engines)
    assert "building a int8-fp16 engine" in caplog.text
    opened(made, engines=engines)
    assert len(site.builds) == 1
    assert sorted(file.name.split("-", 1)[-1] for file in engines.iterdir()) == ["int8-fp16.engine", "timings"]
    caplog.clear()
    newer = install(version="10.13.3.9")
    opened(made, engines=engines)
    assert len(newer.builds) == 1
    assert "tensorrt 10.3.0 (here 10.13.3.9); it is made again" in caplog.text
    assert caplog.text.count(".engine was made for") == 1
    caplog.clear()
    opened(made, engines=engines)
    assert len(newer.builds) == 1
    assert "made again" not in caplog.text
    other = Machine()
    other.name, other.capability = "Thor", (11, 0)
    assert len(install(other, version="10.13.3.9").builds) == 0
    opened(made, engines=engines)
    assert "compute capability 8.7 (here 11.0), gpu Orin (here Thor)" in caplog.text


def test_a_kept_engine_that_does_not_load_is_built_again(
    tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    site = install()
    made, engines = bundle(tmp_path / "models"), tmp_path / ENGINES
    opened(made, engines=engines)
    (path,) = engines.glob("*.engine")
    head = path.read_bytes().partition(b"\n")[0]
    key = json.loads(head)["key"]
    engine_cache.store(path, key, b'{"stamp": "a driver of long ago"}\n')
    opened(made, engines=engines)
    assert len(site.builds) == 2
    assert "was made for a driver of long ago); it is built again" in caplog.text
    for damage in (b"no json\n", head[:-1] + b"\n", head + b"\nhalf"):
        path.write_bytes(damage)
        opened(made, engines=engines)
        assert "is damaged" in caplog.text
        caplog.clear()
    assert len(site.builds) == 5


def test_less_precise_arithmetic_is_refused_and_not_built_again(
    tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    site = install()
    site.drift = {"FP16": 0.5}
    made, engines = bundle(tmp_path / "models"), tmp_path / ENGINES
    network = opened(made, engines=engines)
    assert network.runtime.name == "tensorrt-int8"
    assert site.builds == [("FP16", "INT8", "TF32"), ("INT8",)]
    assert "heat differs by 0.5 from the golden vectors" in caplog.text
    assert "tensorrt-int8 runs instead" in caplog.text
    opened(made, engines=engines)
    assert len(site.builds) == 2
    newer = install(version="10.13.3.9")
    for _ in range(2):
        caplog.clear()
        assert opened(made, engines=engines).runtime.name == "tensorrt-int8-fp16"
    assert len(newer.builds) == 1
    assert not caplog.text  # nothing of the old version is left


def test_an_engine_that_was_good_and_is_not_any_more_is_built_again(tmp_path: Path, install: Install) -> None:
    site = install()
    made, engines = bundle(tmp_path / "models"), tmp_path / ENGINES
    opened(made, engines=engines)
    site.drift = {"FP16": 0.5}
    assert opened(made, engines=engines).runtime.name == "tensorrt-int8"
    site.drift = {}
    assert opened(made, engines=engines).runtime.name == "tensorrt-int8-fp16"
    assert [len(flags) for flags in site.builds] == [3, 1, 3]


def test_an_engine_that_computes_something_else_runs_nowhere(
    tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    site = install()
    site.drift = {"INT8": 0.5}
    made, engines = bundle(tmp_path / "models"), tmp_path / ENGINES
    with pytest.raises(ModelBundleError, match=r"tensorrt-int8-fp16: heat differs by 0\.5 .*tensorrt-int8: heat"):
        opened(made, engines=engines)
    assert not list(engines.glob("*.engine"))
    assert site.machine.clean
    network = opened(made, "auto", engines)
    assert network.runtime.name == "onnxruntime-fp32"
    assert "failed the golden vectors on this device before" in caplog.text
    assert "onnxruntime-fp32 runs instead" in caplog.text


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


def uneven() -> bytes:
    """A Q/DQ pair with a zero point, as CPUs take it."""
    model = onnx.load_from_string(quantised())
    (zero,) = (each for each in model.graph.initializer if each.name == "zero")
    zero.CopyFrom(numpy_helper.from_array(np.int8(3), "zero"))
    return bytes(model.SerializeToString())


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
    models = Models(config, shipped(80), folder)
    assert not isinstance(models.current, RefusedModel)
    assert models.current.identity.runtime == "tensorrt-int8-fp16"
    assert list((tmp_path / ENGINES).glob("*.engine"))
    models.close()
    del models
    gc.collect()
    assert site.machine.clean


def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install()
    (tmp_path / ENGINES).write_text("a file where the folder should be")
    assert opened(bundle(tmp_path / "models"), engines=tmp_path / ENGINES).runtime.name == "tensorrt-int8-fp16"
    assert "cannot be kept" in caplog.text


def test_errors_of_tensorrt_are_logged_and_kept(install: Install, caplog: pytest.LogCaptureFixture) -> None:
    install()
    found = tensorrt_device.find()
    severity = tensorrt_standin.ILogger.Severity
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


def offered() -> dict[str, dict[str, Any]]:
    """Every name of the stand-ins, as the real modules have it, with what stands for it."""
    machine = Machine()
    modules = {
        "tensorrt": tensorrt_standin.module(Site(machine)) | {kind.__name__: kind for kind in tensorrt_standin.INNER},
        "pycuda": pycuda_standin.driver(machine) | {kind.__name__: kind for kind in pycuda_standin.INNER},
    }
    found: dict[str, dict[str, Any]] = {package: {} for package in modules}

    def add(package: str, name: str, thing: Any) -> None:
        found[package][name] = thing
        for base in inspect.getmro(thing) if inspect.isclass(thing) else ():
            if base.__module__.startswith("tests."):
                for member, inner in vars(base).items():
                    if not member.startswith("_") and member not in tensorrt_standin.OWN | pycuda_standin.OWN:
                        add(package, f"{name}.{member}", inner)

    for package, content in modules.items():
        for name, thing in content.items():
            add(package, name, thing)
    return found


def test_every_name_of_the_stand_ins_is_in_the_real_bindings() -> None:
    stored = json.loads(bindings.LIST.read_text(encoding="utf-8"))
    names = offered()
    assert {package: sorted(found) for package, found in names.items()} == stored["names"], (
        "write the new names into bindings.json and follow tests/edge/gpu/bindings.py"
    )
    assert set(stored["tensorrt"]) == {"10.3.0", "10.13.3.9"}
    for package in ("tensorrt", "pycuda"):
        for version, known in stored[package].items():
            assert sorted(known) == stored["names"][package], f"{package} {version}"
            for name, overloads in known.items():
                ours = names[package][name]
                if overloads and inspect.isfunction(ours):
                    mine = [p for p in inspect.signature(ours).parameters if p != "self"]
                    assert any(mine == real[: len(mine)] for real in overloads), f"{name}: {mine}, really {overloads}"
