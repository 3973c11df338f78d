"""A strict stand-in for the few CuPy calls of the GPU back end; kernels run in the g++ shim, not on a GPU.

It refuses what CuPy would refuse or get silently wrong: host arrays where device arrays belong, scalars without a type,
buffers of another type than the kernel's parameter, copies that are not page-locked. New memory is poisoned. A stream
is a queue: ``behind`` leaves all work in it until something waits, as a GPU that never catches up would; otherwise work
is done at once, as by a GPU that is never behind. Right results in both need every wait that is there.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tests.kernels.gpu import entries, runner, shim
from tests.kernels.gpu.entries import Parameter

POISON = 0xFF  # as bytes of a float: NaN; of an integer: as large as can be
MAX_THREADS = 1024
#: What ``cupy.cuda.runtime.getDeviceProperties`` says, as far as it is used.
PROPERTIES = {
    "name": b"stand-in, not a GPU",
    "major": 0,
    "minor": 0,
    "multiProcessorCount": 1,
    "totalGlobalMem": 1 << 30,
}


class Launch(NamedTuple):
    """One launch as it was asked for."""

    kernel: str
    blocks: int
    threads: int


class Machine:
    """What the stand-in remembers: launches, waits, allocations, and which memory is page-locked."""

    def __init__(self, folder: Path, behind: bool) -> None:
        self.folder, self.behind = folder, behind
        self.launches: list[Launch] = []
        self.waits: list[str] = []
        self.allocations: list[str] = []
        self.pinned: list[npt.NDArray[np.uint8]] = []
        self.current: Stream | None = None

    def is_pinned(self, host: npt.NDArray[Any]) -> bool:
        return any(np.may_share_memory(host, p) for p in self.pinned)


class Stream:
    """``cupy.cuda.Stream``: a queue of work in order."""

    machine: Machine

    def __init__(self, non_blocking: bool = False) -> None:
        assert non_blocking, "the default stream would wait for ours"
        self.work: list[Callable[[], None]] = []
        self.reached = 0
        self._outer: list[Stream | None] = []

    def __enter__(self) -> Stream:
        self._outer.append(self.machine.current)
        self.machine.current = self
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.current = self._outer.pop()

    def enqueue(self, work: Callable[[], None]) -> None:
        self.work.append(work)
        if not self.machine.behind:
            self.run(len(self.work))

    def run(self, until: int) -> None:
        while self.reached < until:
            self.reached += 1
            self.work[self.reached - 1]()

    def synchronize(self) -> None:
        self.machine.waits.append("stream")
        self.run(len(self.work))


class Event:
    """``cupy.cuda.Event``: a place in a queue."""

    machine: Machine

    def __init__(self, block: bool = False, disable_timing: bool = False) -> None:
        assert block, "a spinning wait takes the processor from the other services"
        self._stream: Stream | None = None
        self._place = 0

    def record(self, stream: Stream) -> None:
        self._stream, self._place = stream, len(stream.work)

    @property
    def done(self) -> bool:
        return self._stream is None or self._stream.reached >= self._place

    def synchronize(self) -> None:
        assert self._stream is not None
        self.machine.waits.append("event")
        self._stream.run(self._place)

    def milliseconds_to(self, later: Event) -> float:
        assert self.done
        assert later.done, "a time that is not over"
        return float(later._place - self._place)


class MemoryPointer:
    """``cupy.cuda.MemoryPointer`` of an array."""

    def __init__(self, memory: npt.NDArray[Any]) -> None:
        self._memory = memory

    def copy_from_device_async(self, src: MemoryPointer, size: int, stream: Stream) -> None:
        assert 0 <= size <= min(self._memory.nbytes, src._memory.nbytes)
        to, from_ = (m.reshape(-1).view(np.uint8)[:size] for m in (self._memory, src._memory))
        stream.enqueue(lambda: np.copyto(to, from_))

    def memset_async(self, value: int, size: int, stream: Stream) -> None:
        assert 0 <= size <= self._memory.nbytes
        bytes_ = self._memory.reshape(-1).view(np.uint8)[:size]
        stream.enqueue(lambda: bytes_.fill(value))


class DeviceArray:
    """``cupy.ndarray``, C-ordered, whose content only kernels and copies see."""

    machine: Machine

    def __init__(self, memory: npt.NDArray[Any]) -> None:
        self._memory = memory

    @property
    def size(self) -> int:
        return self._memory.size

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._memory.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return self._memory.shape

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self._memory)

    def __getitem__(self, key: slice) -> DeviceArray:
        assert isinstance(key, slice)
        assert key.step is None
        return type(self)(self._memory[key])

    def reshape(self, shape: tuple[int, ...]) -> DeviceArray:
        view = self._memory.reshape(shape)
        assert view.size == 0 or np.may_share_memory(view, self._memory), "a copy"
        return type(self)(view)

    def _check(self, host: object, stream: object) -> npt.NDArray[Any]:
        if not isinstance(host, np.ndarray):
            raise TypeError(f"host memory is expected, not {type(host).__name__}")
        assert (host.dtype, host.shape) == (self.dtype, self.shape)
        assert host.flags.c_contiguous
        assert self.machine.is_pinned(host), "a copy from or to pageable memory holds up the host"
        assert isinstance(stream, Stream)
        return host

    def set(self, arr: npt.NDArray[Any], stream: Stream) -> None:
        host = self._check(arr, stream)
        stream.enqueue(lambda: np.copyto(self._memory, host))

    def get(self, stream: Stream, out: npt.NDArray[Any], blocking: bool = True) -> npt.NDArray[Any]:
        host = self._check(out, stream)
        stream.enqueue(lambda: np.copyto(host, self._memory))
        if blocking:
            stream.synchronize()
        return host

    def __array__(self, *_: object) -> npt.NDArray[Any]:
        raise TypeError("a device array was used as a host array")


class RawKernel:
    """``cupy.RawKernel`` of a module: checks a launch against the parameters in the .cu file, then queues it."""

    def __init__(self, machine: Machine, file: str, name: str) -> None:
        self.machine, self._file, self._name = machine, file, name
        self._parameters = entries.of(file)[name]

    def __call__(self, grid: tuple[int, ...], block: tuple[int, ...], args: tuple[Any, ...]) -> None:
        stream = self.machine.current
        assert stream is not None, "a launch on the default stream"
        assert isinstance(grid, tuple)
        assert isinstance(block, tuple)
        assert grid[0] > 0
        assert 0 < block[0] <= MAX_THREADS
        if len(args) != len(self._parameters):
            raise TypeError(f"{self._name} takes {len(self._parameters)} arguments, not {len(args)}")
        for given, wanted in zip(args, self._parameters, strict=True):
            self._check(given, wanted)
        self.machine.launches.append(Launch(self._name, grid[0], block[0]))
        memory = tuple(a._memory if isinstance(a, DeviceArray) else a for a in args)
        stream.enqueue(lambda: self._run(grid[0], block[0], memory))

    def _check(self, given: object, wanted: Parameter) -> None:
        what = f"{self._name}({wanted.name})"
        if wanted.buffer != isinstance(given, DeviceArray):
            raise TypeError(f"{what}: {type(given).__name__} given")
        if isinstance(given, DeviceArray):
            if given.dtype != wanted.dtype:
                raise TypeError(f"{what}: a buffer of {given.dtype} given, {np.dtype(wanted.dtype)} expected")
        elif type(given) is not wanted.dtype:
            raise TypeError(f"{what}: CuPy would pass {given!r} with another width than {np.dtype(wanted.dtype)}")

    def _run(self, blocks: int, threads: int, memory: tuple[Any, ...]) -> None:
        before = [
            m.copy() if p.buffer and not p.writes else None for m, p in zip(memory, self._parameters, strict=True)
        ]
        runner.run(shim.build(self._file), self.machine.folder, self._name, blocks, threads, memory)
        for kept, now, p in zip(before, memory, self._parameters, strict=True):
            assert kept is None or kept.tobytes() == now.tobytes(), f"{self._name} wrote to const {p.name}"


class RawModule:
    """``cupy.RawModule``: compiles when a function is asked for."""

    machine: Machine

    def __init__(self, *, code: str, options: tuple[str, ...]) -> None:
        assert isinstance(code, str)
        assert isinstance(options, tuple)
        self._code, self._options = code, options

    def get_function(self, name: str) -> RawKernel:
        first = self._code.split("\n", 1)[0]
        assert first.startswith('#line 1 "'), "errors would not point into the file"
        assert "-std=c++17" in self._options
        return RawKernel(self.machine, first.split('"')[1].removesuffix(".cu"), name)


def cupy_module(machine: Machine) -> types.ModuleType:
    """A module to put in the place of ``cupy``."""

    def bound(kind: type[Any]) -> type[Any]:
        return type(kind.__name__, (kind,), {"machine": machine})

    array = bound(DeviceArray)

    def empty(shape: int, dtype: npt.DTypeLike) -> Any:
        assert machine.current is not None, "memory of the default stream"
        machine.allocations.append("device")
        return array(np.full(shape * np.dtype(dtype).itemsize, POISON, dtype=np.uint8).view(dtype))

    def alloc_pinned_memory(size: int) -> npt.NDArray[np.uint8]:
        assert size > 0
        machine.allocations.append("pinned")
        machine.pinned.append(np.full(size, POISON, dtype=np.uint8))
        return machine.pinned[-1]

    module: Any = types.ModuleType("cupy")
    module.__spec__ = ModuleSpec("cupy", None)
    module.RawModule, module.empty = bound(RawModule), empty
    module.cuda = types.SimpleNamespace(
        Stream=bound(Stream),
        Event=bound(Event),
        alloc_pinned_memory=alloc_pinned_memory,
        get_elapsed_time=lambda start_event, end_event: start_event.milliseconds_to(end_event),
        runtime=types.SimpleNamespace(
            getDeviceCount=lambda: 1,
            getDeviceProperties=lambda device: PROPERTIES,
            runtimeGetVersion=lambda: 0,
            driverGetVersion=lambda: 0,
        ),
    )
    return module  # type: ignore[no-any-return]
