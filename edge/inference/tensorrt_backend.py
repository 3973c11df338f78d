"""One TensorRT engine with its buffers: page-locked memory, one stream, one event.

Nothing here has run on a GPU: tests and CI have none. What was checked instead is in
docs/reference/gpu-checks.md.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from weakref import finalize

import numpy as np

from edge.inference.bundle import ModelBundleError
from edge.inference.runtime import INPUT, OUTPUTS
from edge.inference.tensorrt_build import Arithmetic, Shapes
from edge.inference.tensorrt_device import Device, last_words
from kernels.types import F32

_HEAT, _SCORE = OUTPUTS


class TensorRtRuntime:
    """One engine with its buffers. Satisfies :class:`edge.inference.runtime.Runtime`.

    Any thread may use it, one at a time. All memory is taken when it is made: page-locked on the host, and on the GPU.
    """

    def __init__(self, device: Device, engine: bytes, arithmetic: Arithmetic, shapes: Shapes, stride: int) -> None:
        self.name = f"tensorrt-{arithmetic}"
        self._device, self._shapes, self._stride = device, shapes, stride
        self._shape: tuple[int, ...] = ()
        #: Everything on the device; empty once it is closed.
        self._on = SimpleNamespace(pinned={}, memory={})
        # A model that is replaced lives on until its last bag ends; whoever drops it last gives the GPU back.
        self._free = finalize(self, _release, device, self._on)
        with device.current():
            try:
                self._open(engine)
            except device.driver.Error as error:
                self._free()
                raise ModelBundleError(f"{self.name}: the GPU has no room for it ({error}); free its memory") from error
            except ModelBundleError:
                self._free()
                raise

    def _open(self, engine: bytes) -> None:
        trt, driver, on = self._device.trt, self._device.driver, self._on
        on.runtime = trt.Runtime(self._device.log)
        on.engine = on.runtime.deserialize_cuda_engine(engine)
        if on.engine is None:
            raise ModelBundleError(f"{self.name}: the engine cannot be loaded ({last_words(self._device.log)})")
        _check_tensors(trt, on.engine, self.name)
        on.execution = on.engine.create_execution_context()
        if on.execution is None:
            raise ModelBundleError(f"{self.name}: no memory to run the engine ({last_words(self._device.log)})")
        on.stream = driver.Stream()
        # A thread that waits by spinning would take a core from the retrieval.
        on.done = driver.Event(driver.event_flags.BLOCKING_SYNC | driver.event_flags.DISABLE_TIMING)
        rows, columns = self._shapes.largest
        cells = -(-rows // self._stride) * -(-columns // self._stride)
        for name, size in ((INPUT, self._shapes.planes * rows * columns), (_HEAT, cells), (_SCORE, 1)):
            on.pinned[name] = driver.pagelocked_empty((size,), np.float32)
            on.memory[name] = driver.mem_alloc(on.pinned[name].nbytes)
            if not on.execution.set_tensor_address(name, int(on.memory[name])):
                raise ModelBundleError(f"{self.name}: no address for {name!r} ({last_words(self._device.log)})")

    def run(self, planes: F32) -> tuple[F32, F32]:
        """Heat and score of planes (n, C, rows, columns), one image after the other.

        ValueError for other planes than the engine was built for, RuntimeError when the GPU fails.
        """
        if not self._free.alive:
            raise RuntimeError(f"{self.name} is closed")
        self._check(planes)
        with self._device.current():
            each = [self._run(image) for image in planes]
        return np.stack([heat for heat, _ in each]), np.stack([score for _, score in each])

    def close(self) -> None:
        """Give the GPU's memory back; twice is once."""
        self._free()

    def _check(self, planes: F32) -> None:
        (low_r, low_c), (high_r, high_c) = self._shapes.smallest, self._shapes.largest
        rows, columns = planes.shape[2:] if planes.ndim == 4 else (0, 0)
        fits = low_r <= rows <= high_r and low_c <= columns <= high_c and len(planes) > 0
        if not fits or planes.shape[1] != self._shapes.planes or planes.dtype != np.float32:
            raise ValueError(
                f"{self.name} was built for float32 (n, {self._shapes.planes}, {low_r} to {high_r}, {low_c} to "
                f"{high_c}); it was given {planes.dtype} {planes.shape}"
            )

    def _run(self, image: F32) -> tuple[F32, F32]:
        driver, on = self._device.driver, self._on
        if self._shape != image.shape:
            self._shape = ()
            if not on.execution.set_input_shape(INPUT, (1, *image.shape)):
                raise RuntimeError(f"{self.name} refuses images {image.shape} ({last_words(self._device.log)})")
            lacking = on.execution.infer_shapes()
            if lacking:
                raise RuntimeError(f"{self.name}: nothing is known of {', '.join(lacking)} for images {image.shape}")
            self._shape = image.shape
        heat_shape = tuple(int(n) for n in on.execution.get_tensor_shape(_HEAT))
        source, heat = on.pinned[INPUT][: image.size], on.pinned[_HEAT][: int(np.prod(heat_shape))]
        if heat.size != np.prod(heat_shape):
            raise RuntimeError(
                f"{self.name} makes heat {heat_shape} of images {image.shape}, more than stride = {self._stride} "
                "of the manifest says; train it again"
            )
        np.copyto(source.reshape(image.shape), image)
        driver.memcpy_htod_async(on.memory[INPUT], source, on.stream)
        if not on.execution.execute_async_v3(on.stream.handle):
            raise RuntimeError(f"{self.name} could not run ({last_words(self._device.log)})")
        driver.memcpy_dtoh_async(heat, on.memory[_HEAT], on.stream)
        driver.memcpy_dtoh_async(on.pinned[_SCORE], on.memory[_SCORE], on.stream)
        on.done.record(on.stream)
        on.done.synchronize()
        # The next image overwrites the buffers.
        return heat.reshape(heat_shape[1:]).copy(), on.pinned[_SCORE].copy()


def _check_tensors(trt: Any, engine: Any, name: str) -> None:
    """:class:`ModelBundleError` when inputs and outputs are not those of our graphs."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    inputs = [each for each in names if engine.get_tensor_mode(each) == trt.TensorIOMode.INPUT]
    other = [each for each in names if engine.get_tensor_dtype(each) != trt.DataType.FLOAT]
    if inputs != [INPUT] or not set(names) == {INPUT, *OUTPUTS} or other:
        raise ModelBundleError(
            f"{name}: its tensors are {names} ({other or 'none'} not float32); {INPUT!r} in and {OUTPUTS} out are due"
        )


def _release(device: Device, on: Any) -> None:
    """Free what is on the GPU, in the order in which it depends on each other."""
    with device.current():
        for name in ("execution", "engine", "runtime"):
            setattr(on, name, None)
        for memory in on.memory.values():
            memory.free()
        for array in on.pinned.values():
            array.base.free()
        on.memory, on.pinned = {}, {}
        on.stream = on.done = None
