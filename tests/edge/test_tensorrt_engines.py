"""Engines of TensorRT, on stand-ins: built once, kept, refused; no GPU has run this."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from edge.inference import engine_cache
from edge.inference.bundle import ModelBundleError
from edge.inference.model_folder import ENGINES
from tests.edge.gpu.installed import Install, bundle, install, opened
from tests.edge.gpu.pycuda_standin import Machine

__all__ = ["install"]


def test_an_engine_is_built_once(tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = install()
    made, engines = bundle(tmp_path / "models"), tmp_path / ENGINES
    opened(made, engines=engines)
    assert "building the int8-fp16 engine" in caplog.text
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


def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, install: Install, caplog: pytest.LogCaptureFixture
) -> None:
    install()
    (tmp_path / ENGINES).write_text("a file where the folder should be")
    assert opened(bundle(tmp_path / "models"), engines=tmp_path / ENGINES).runtime.name == "tensorrt-int8-fp16"
    assert "cannot be kept" in caplog.text
