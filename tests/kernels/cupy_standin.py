"""A strict stand-in for the few CuPy calls of the GPU back end; kernels run in the g++ shim of ``shim/``.

It refuses what CuPy would refuse or get wrong silently: mixing device and host arrays, scalars without a type, reading
memory that nobody wrote (new memory is poisoned).
"""

from __future__ import annotations

import subprocess
import types
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

#: Every launch so far: kernel, blocks, threads.
Launch = tuple[str, int, int]


class DeviceArray:
    """Memory of the pretended device."""

    def __init__(self, memory: npt.NDArray[Any]) -> None:
        self.memory = memory

    @property
    def size(self) -> int:
        return self.memory.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.memory.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self.memory.shape

    def __getitem__(self, key: slice) -> DeviceArray:
        return DeviceArray(self.memory[key])

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        view = self.memory.reshape(shape)
        assert view.size == 0 or np.shares_memory(view, self.memory)
        return DeviceArray(view)

    def set(self, values: npt.NDArray[Any], stream: Stream) -> None:
        assert isinstance(values, np.ndarray)
        assert (values.dtype, values.shape) == (self.dtype, self.shape)
        assert stream.current
        self.memory[...] = values

    def get(self, stream: Stream, out: npt.NDArray[Any] | None = None) -> npt.NDArray[Any]:
        if out is None:
            return self.memory.copy()
        assert (out.dtype, out.shape) == (self.dtype, self.shape)
        out[...] = self.memory
        return out

    def __array__(self, *_: object) -> npt.NDArray[Any]:
        raise TypeError("a device array was used as a host array")


class Stream:
    """Remembers whether it is the current one."""

    def __init__(self, non_blocking: bool) -> None:
        assert non_blocking
        self.current = False

    def __enter__(self) -> Stream:
        self.current = True
        return self

    def __exit__(self, *_: object) -> None:
        self.current = False

    def synchronize(self) -> None:
        assert not self.current


def empty(size: int, dtype: Any) -> DeviceArray:
    memory = np.empty(size, dtype=dtype)
    memory.view(np.uint8)[...] = 0xFF  # NaN, or as large as can be
    return DeviceArray(memory)


def asarray(values: npt.NDArray[Any]) -> DeviceArray:
    return DeviceArray(values.copy())


def pack(arguments: tuple[Any, ...]) -> bytes:
    """The arguments of a launch as the runner reads them."""
    parts = []
    for a in arguments:
        if isinstance(a, DeviceArray):
            assert a.memory.flags.c_contiguous
            parts.append(b"p" + np.uint64(a.memory.nbytes).tobytes() + a.memory.tobytes())
        elif type(a) in {np.int32, np.float32}:
            parts.append((b"i" if type(a) is np.int32 else b"f") + a.tobytes())
        else:
            raise TypeError(f"CuPy would pass {a!r} with a width of its own choice")
    return b"".join(parts)


def run(runner: Path, folder: Path, name: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
    """Execute a kernel in the shim; its buffers are written back into the device arrays."""
    path = folder / "arguments"
    path.write_bytes(pack(arguments))
    words = [str(runner), name, str(blocks), str(threads), str(path)]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(result.stderr)
    data, at = path.read_bytes(), 0
    for a in arguments:
        if isinstance(a, DeviceArray):
            values = np.frombuffer(data[at : at + a.memory.nbytes], dtype=a.dtype)
            a.memory[...] = values.reshape(a.shape)
            at += a.memory.nbytes


def standin(runner: Path, folder: Path, launches: list[Launch]) -> types.ModuleType:
    """A module to put in the place of ``cupy``."""

    class RawModule:
        def __init__(self, code: str, options: tuple[str, ...]) -> None:
            assert code.startswith('#line 1 "')
            assert "-std=c++17" in options
            self.code = code

        def get_function(self, name: str) -> Any:
            assert name in self.code

            def kernel(grid: tuple[int], block: tuple[int], arguments: tuple[Any, ...], stream: Stream) -> None:
                assert stream.current
                launches.append((name, grid[0], block[0]))
                run(runner, folder, name, grid[0], block[0], arguments)

            return kernel

    module: Any = types.ModuleType("cupy")
    module.RawModule, module.empty, module.asarray = RawModule, empty, asarray
    module.cuda = types.SimpleNamespace(Stream=Stream, runtime=types.SimpleNamespace(getDeviceCount=lambda: 1))
    return module  # type: ignore[no-any-return]
