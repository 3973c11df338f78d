"""The GPU checks checked: what the shim and the stand-in for CuPy exist to find is planted, and found."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from kernels.backends import cuda_cache, cuda_source
from tests.kernels.gpu import cupy_names, cupy_standin, entries, runner, shim

Arguments = tuple[object, ...]


def ratio_arguments(count: int, outputs: int | None = None) -> Arguments:
    images = np.full((8, count), 0.5, dtype=np.float32)
    values, errors = (np.empty(outputs or 7 * count, dtype=np.float32) for _ in range(2))
    return images, images, np.int32(count), values, errors


def planted(folder: Path, old: str, new: str) -> Path:
    """The shim with one change in ratios.cu."""
    for path in cuda_source.folder().iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    text = (folder / "ratios.cu").read_text(encoding="utf-8")
    assert text.count(old) == 1
    (folder / "ratios.cu").write_text(text.replace(old, new), encoding="utf-8")
    return shim.build("ratios", folder)


def test_an_output_that_is_too_short_is_found(tmp_path: Path) -> None:
    with pytest.raises(runner.ShimError, match=r"heap-buffer-overflow(?s:.*)WRITE of size 4(?s:.*)ratios\.cu:\d+"):
        runner.run(shim.build("ratios"), tmp_path, "ratio_images", 1, 8, ratio_arguments(5, 34))
    runner.run(shim.build("ratios"), tmp_path, "ratio_images", 1, 8, ratio_arguments(5, 35))


def test_a_planted_write_out_of_bounds_is_found(tmp_path: Path) -> None:
    executable = planted(tmp_path, "if (i >= n) return;", "if (i > n) return;")
    runner.run(executable, tmp_path, "ratio_images", 1, 5, ratio_arguments(5))  # the grid hides it when it fits
    with pytest.raises(runner.ShimError, match=r"heap-buffer-overflow(?s:.*)ratios\.cu"):
        runner.run(executable, tmp_path, "ratio_images", 1, 128, ratio_arguments(5))


def test_planted_undefined_behaviour_is_found(tmp_path: Path) -> None:
    executable = planted(tmp_path, "if (i >= n) return;", "if (i + 2147483647 - 2 < n) return;")
    with pytest.raises(runner.ShimError, match=r"ratios\.cu:10(?s:.*)signed integer overflow"):
        runner.run(executable, tmp_path, "ratio_images", 1, 8, ratio_arguments(5))


def test_the_shim_refuses_wrong_types(tmp_path: Path) -> None:
    given = ratio_arguments(5)
    with pytest.raises(runner.ShimError, match="wrong type"):
        runner.run(shim.build("ratios"), tmp_path, "ratio_images", 1, 8, (*given[:2], np.float32(5), *given[3:]))
    with pytest.raises(runner.ShimError, match="wrong number"):
        runner.run(shim.build("ratios"), tmp_path, "ratio_images", 1, 8, given[:4])
    with pytest.raises(TypeError, match="no width"):
        runner.pack((5,))


@pytest.fixture
def machine(tmp_path: Path) -> cupy_standin.Machine:
    return cupy_standin.Machine(tmp_path, behind=True)


def test_the_stand_in_refuses_wrong_launches(machine: cupy_standin.Machine) -> None:
    cupy = cupy_standin.cupy_module(machine)
    given = cuda_source.source("ratios")
    kernel = cupy.RawModule(code=given.code, options=given.options).get_function("ratio_images")
    stream = cupy.cuda.Stream(non_blocking=True)
    with pytest.raises(AssertionError, match="default stream"):
        kernel((1,), (1,), ())
    with stream:
        f, h = cupy.empty(8, np.float32), cupy.empty(8, np.uint16)
        n = np.int32(1)
        for arguments, message in (
            ((f, f, n, f), "takes 5 arguments, not 4"),
            ((f, f, 1, f, f), r"ratio_images\(n\): .* another width"),
            ((f, f, np.int64(1), f, f), r"ratio_images\(n\): .* another width"),
            ((f, f, np.float32(1), f, f), r"ratio_images\(n\): .* another width"),
            ((f, f, n, h, f), r"ratio_images\(values\): a buffer of uint16 given, float32 expected"),
            ((np.zeros(8, np.float32), f, n, f, f), r"ratio_images\(images\): ndarray given"),
            ((f, f, f, f, f), r"ratio_images\(n\): DeviceArray given"),
        ):
            with pytest.raises(TypeError, match=message):
                kernel((1,), (1,), arguments)
    assert machine.launches == []


def test_the_stand_in_refuses_to_mix_host_and_device(machine: cupy_standin.Machine) -> None:
    cupy = cupy_standin.cupy_module(machine)
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        array = cupy.empty(4, np.float32)
    with pytest.raises(TypeError, match="used as a host array"):
        np.add(np.ones(4, dtype=np.float32), array)
    with pytest.raises(AssertionError, match="pageable"):
        array.set(np.ones(4, dtype=np.float32), stream=stream)
    with pytest.raises(TypeError, match="host memory"):
        array.set(array, stream=stream)


def test_the_stand_in_shows_a_result_that_was_not_waited_for(machine: cupy_standin.Machine) -> None:
    cupy = cupy_standin.cupy_module(machine)
    stream = cupy.cuda.Stream(non_blocking=True)
    event = cupy.cuda.Event(block=True, disable_timing=True)
    with stream:
        array = cupy.empty(4, np.float32)
    host = np.frombuffer(cupy.cuda.alloc_pinned_memory(16), dtype=np.float32)
    array.data.memset_async(0, 16, stream)
    array.get(stream=stream, out=host, blocking=False)
    event.record(stream)
    assert np.isnan(host).all()
    assert not event.done
    event.synchronize()
    assert (host == 0).all()


def test_parameters_are_those_of_the_source() -> None:
    text = 'extern "C" __global__ void f(const unsigned short* a, int n, float* b, float x) {'
    found = entries.parse(text)["f"]
    assert [(p.name, p.dtype, p.buffer, p.writes) for p in found] == [
        ("a", np.uint16, True, False),
        ("n", np.int32, False, False),
        ("b", np.float32, True, True),
        ("x", np.float32, False, False),
    ]
    with pytest.raises(ValueError, match="long long"):
        entries.parse('extern "C" __global__ void f(long long n) {')


def test_the_stand_in_offers_what_cupy_has() -> None:
    """Names and parameters against the list made with the real CuPy, and against CuPy itself where it is installed."""
    checked = json.loads(cupy_names.NAMES.read_text(encoding="utf-8"))
    offered = cupy_names.offered(cupy_standin)
    assert set(offered) == set(checked["names"]), "run `python -m tests.kernels.gpu.cupy_names` where CuPy is installed"
    for name in offered:
        real = checked["names"][name]
        owner, _, member = name.rpartition(".")
        own = getattr(cupy_standin, cupy_names.CLASSES.get(owner, ""), None)
        function = vars(own).get(member) if own else None
        if real is not None and callable(function) and not member.startswith("__"):
            mine = cupy_names._parameters(function)
            assert mine is not None
            assert set(mine) <= set(real), name
    for name, own in cupy_names.CLASSES.items():
        if name in ("RawModule", "cuda.Event", "cuda.Stream"):  # those that the back end makes itself
            assert set(cupy_names._parameters(getattr(cupy_standin, own)) or []) <= set(checked["names"][name])
    if "cupy" in sys.modules or cuda_has_cupy():
        import cupy

        cupy_names.look_up(cupy, offered)


def cuda_has_cupy() -> bool:
    import importlib.util

    return importlib.util.find_spec("cupy") is not None


def test_the_cache_is_the_service_s_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CUPY_CACHE_DIR", raising=False)
    monkeypatch.setenv("CACHE_DIRECTORY", f"{tmp_path}:/elsewhere")
    assert cuda_cache.with_usable_cache(lambda: os.environ["CUPY_CACHE_DIR"]) == f"{tmp_path}/cupy"
    monkeypatch.setenv("CUPY_CACHE_DIR", "/chosen")
    assert cuda_cache.with_usable_cache(lambda: os.environ["CUPY_CACHE_DIR"]) == "/chosen"


def test_a_cache_that_cannot_be_written_is_done_without(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CUPY_CACHE_DIR", "/read-only")
    monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "0")
    tries = []

    def compile_all() -> str:
        tries.append(os.environ["CUPY_CACHE_IN_MEMORY"])
        if tries[-1] != "1":
            raise OSError(30, "Read-only file system", "/read-only")
        return "compiled"

    assert cuda_cache.with_usable_cache(compile_all) == "compiled"
    assert tries == ["0", "1"]
    assert "/read-only" in caplog.text
    assert "CUPY_CACHE_DIR" in caplog.text
