"""The GPU back end on the stand-in for CuPy, once with a GPU that keeps up and once with one that never does.

With ``DARKLANE_TEST_GPU=1`` in the environment on the real CuPy and GPU instead: numbers are tested, but not waits and
allocations, because nothing records them there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from kernels.backends import cuda
from tests.kernels.gpu import cupy_standin

backends = sys.modules["kernels.backends"]  # `kernels.backends` is the function of that name


REAL = "real"
GPUS = [REAL] if os.environ.get("DARKLANE_TEST_GPU") == "1" else ["in time", "behind"]


@pytest.fixture(scope="session", params=GPUS)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[cupy_standin.Machine, cuda.CudaBackend]:
    """A machine and the back end on it, as in a process: made once."""
    machine = cupy_standin.Machine(tmp_path_factory.mktemp("shim"), behind=request.param == "behind")
    if request.param == REAL:
        assert cuda.available(), "DARKLANE_TEST_GPU=1, but CuPy finds no GPU"
        return machine, cuda.CudaBackend()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cupy", cupy_standin.cupy_module(machine))
        assert cuda.available()
        return machine, cuda.CudaBackend()


@pytest.fixture
def machine(made: tuple[cupy_standin.Machine, cuda.CudaBackend]) -> cupy_standin.Machine:
    """What the stand-in has seen, from the start of the test on."""
    machine = made[0]
    for seen in (machine.launches, machine.waits, machine.allocations):
        seen.clear()
    return machine


@pytest.fixture
def gpu(made: tuple[cupy_standin.Machine, cuda.CudaBackend], machine: cupy_standin.Machine) -> cuda.CudaBackend:
    """The back end itself."""
    return made[1]


@pytest.fixture
def public(
    gpu: cuda.CudaBackend, machine: cupy_standin.Machine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[cupy_standin.Machine]:
    """The back end as the public functions find it."""
    monkeypatch.setitem(sys.modules, "cupy", gpu.cupy)
    monkeypatch.setattr(cuda, "CudaBackend", lambda: gpu)
    cached = (backends.backends, backends.get)
    for function in cached:
        function.cache_clear()
    yield machine
    for function in cached:
        function.cache_clear()
