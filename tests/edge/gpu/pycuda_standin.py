"""A strict stand-in for the few calls of pycuda.driver that the TensorRT runtime makes; memory is NumPy arrays.

It refuses what CUDA would refuse or get silently wrong: no current context, copies that are not page-locked, more bytes
than there is room for, memory that was freed. New memory is NaN. A stream is a queue: ``behind`` leaves all work in it
until something waits, as a GPU that never catches up would.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt


class Error(Exception):
    """``pycuda.driver.Error``."""


class Machine:
    """One GPU: what it is, what was asked of it, and what is to go wrong."""

    def __init__(self, behind: bool = False) -> None:
        self.behind = behind
        self.gpus = 1
        self.name, self.capability = "Orin", (8, 7)
        self.memory_left = 1 << 30
        self.started = False
        self.calls: list[str] = []
        self.memory: dict[int, DeviceAllocation] = {}
        self.pinned: list[PagelockedHostAllocation] = []
        self.streams: dict[int, Stream] = {}
        self.local = threading.local()

    @property
    def contexts(self) -> list[Context]:
        """Contexts pushed in this thread."""
        if not hasattr(self.local, "contexts"):
            self.local.contexts = []
        found: list[Context] = self.local.contexts
        return found

    def call(self, name: str) -> None:
        """Note a call that needs a current context."""
        if not self.contexts:
            raise Error(f"{name}: invalid device context")
        self.calls.append(name)

    def at(self, address: int, size: int) -> npt.NDArray[np.float32]:
        """``size`` floats of device memory."""
        allocation = self.memory.get(address)
        assert allocation is not None, f"nothing lies at {address:#x}: freed, or never taken"
        assert size <= allocation.data.size, f"{size} floats, {allocation.data.size} were taken"
        return allocation.data[:size]

    @property
    def clean(self) -> bool:
        """Whether everything was given back."""
        return not self.memory and not self.pinned and not self.contexts


class Context:
    """A primary context; ``pop`` is a static method, as in pycuda."""

    machine: Machine

    def push(self) -> None:
        self.machine.contexts.append(self)

    @classmethod
    def pop(cls) -> None:
        cls.machine.contexts.pop()


class DeviceAllocation:
    def __init__(self, machine: Machine, nbytes: int) -> None:
        self.machine, self.address = machine, 0x10_0000_0000 + len(machine.calls) * 0x1000_0000
        self.data = np.full(nbytes // 4, np.nan, np.float32)
        machine.memory[self.address] = self

    def __int__(self) -> int:
        return self.address

    def free(self) -> None:
        self.machine.call("free")
        del self.machine.memory[self.address]


class PagelockedHostAllocation:
    """Base of page-locked arrays."""

    def __init__(self, machine: Machine, size: int) -> None:
        self.machine, self.data = machine, np.full(size, np.nan, np.float32)
        self.__array_interface__ = self.data.__array_interface__
        machine.pinned.append(self)

    def free(self) -> None:
        self.machine.call("free pinned")
        self.machine.pinned.remove(self)


class Stream:
    machine: Machine

    def __init__(self) -> None:
        self.machine.call("Stream")
        self.work: list[Callable[[], None]] = []
        self._handle = 0x5000 + len(self.machine.streams)
        self.machine.streams[self._handle] = self

    @property
    def handle(self) -> int:
        return self._handle

    def enqueue(self, work: Callable[[], None]) -> None:
        self.work.append(work)
        if not self.machine.behind:
            self.catch_up()

    def catch_up(self) -> None:
        work, self.work = self.work, []
        for each in work:
            each()


class event_flags(enum.IntFlag):
    BLOCKING_SYNC = 1
    DISABLE_TIMING = 2


class Event:
    machine: Machine

    def __init__(self, flags: int) -> None:
        self.machine.call("Event")
        assert flags & event_flags.BLOCKING_SYNC, "the thread that waits would spin"
        self._stream: Stream | None = None

    def record(self, stream: Stream) -> Event:
        self.machine.call("record")
        self._stream = stream
        return self

    def synchronize(self) -> Event:
        self.machine.call("synchronize")
        assert self._stream is not None, "the event was never recorded"
        self._stream.catch_up()
        return self


def driver(machine: Machine) -> dict[str, Any]:
    """What the module ``pycuda.driver`` holds, for ``machine``."""

    def init() -> None:
        if machine.gpus < 0:
            raise Error("cuInit failed: no CUDA-capable device is detected")
        machine.started = True

    class Device:
        def __init__(self, number: int) -> None:
            assert machine.started, "init() comes first"
            assert number < machine.gpus

        @staticmethod
        def count() -> int:
            assert machine.started, "init() comes first"
            return machine.gpus

        def name(self) -> str:
            return machine.name

        def compute_capability(self) -> tuple[int, int]:
            return machine.capability

        def retain_primary_context(self) -> Context:
            made: Context = bound(Context)()
            return made

    def bound(kind: type[Any]) -> Any:
        return type(kind.__name__, (kind,), {"machine": machine})

    def mem_alloc(bytes: int) -> DeviceAllocation:
        machine.call("mem_alloc")
        if bytes > machine.memory_left:
            raise Error("cuMemAlloc failed: out of memory")
        return DeviceAllocation(machine, bytes)

    def pagelocked_empty(shape: tuple[int], dtype: Any) -> npt.NDArray[np.float32]:
        machine.call("pagelocked_empty")
        assert np.dtype(dtype) == np.float32
        assert len(shape) == 1
        return np.asarray(PagelockedHostAllocation(machine, shape[0]))

    def check_pinned(array: npt.NDArray[Any]) -> None:
        assert any(np.may_share_memory(array, held.data) for held in machine.pinned), "this memory is not page-locked"
        assert array.dtype == np.float32
        assert array.flags.c_contiguous

    def memcpy_htod_async(dest: Any, src: npt.NDArray[Any], stream: Stream) -> None:
        machine.call("memcpy_htod_async")
        check_pinned(src)
        stream.enqueue(lambda: np.copyto(machine.at(int(dest), src.size), src))

    def memcpy_dtoh_async(dest: npt.NDArray[Any], src: Any, stream: Stream) -> None:
        machine.call("memcpy_dtoh_async")
        check_pinned(dest)
        stream.enqueue(lambda: np.copyto(dest, machine.at(int(src), dest.size)))

    return {
        "init": init,
        "Device": Device,
        "Context": bound(Context),
        "Stream": bound(Stream),
        "Event": bound(Event),
        "event_flags": event_flags,
        "mem_alloc": mem_alloc,
        "pagelocked_empty": pagelocked_empty,
        "memcpy_htod_async": memcpy_htod_async,
        "memcpy_dtoh_async": memcpy_dtoh_async,
        "Error": Error,
    }


#: Classes that no name of the module leads to, and members that are the stand-in's own business.
INNER = (DeviceAllocation, PagelockedHostAllocation)
OWN = frozenset({"machine", "enqueue", "catch_up"})
