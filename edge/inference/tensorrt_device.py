"""TensorRT, pycuda and the GPU of this machine, or what is missing of them.

Nothing here has run on a GPU: tests and CI have none. What was checked instead is in
docs/reference/gpu-checks.md.
"""

from __future__ import annotations

import importlib
import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge.inference.engine_cache import Key

log = logging.getLogger("inference")

#: Versions that this back end is written for: JetPack 6 has 10.3, JetPack 7 has 10.13. Release 11 removed the flags
#: for FP16 and INT8 that the build sets.
OLDEST, TOO_NEW = (10, 3), (11, 0)


class TensorRtMissing(RuntimeError):  # noqa: N818
    """TensorRT cannot run here; the message names what is missing. ``partly``: some of it is there."""

    def __init__(self, message: str, partly: bool) -> None:
        super().__init__(message)
        self.partly = partly


@dataclass(frozen=True)
class Device:
    """The modules and the first GPU. ``log``: takes TensorRT's messages and must outlive all that it makes."""

    trt: Any
    driver: Any
    context: Any
    log: Any
    gpu: str
    capability: str

    @property
    def key(self) -> Key:
        """What an engine depends on beside its graph."""
        return {"tensorrt": str(self.trt.__version__), "gpu": self.gpu, "compute capability": self.capability}

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the GPU's context that of this thread, whichever thread it is."""
        self.context.push()
        try:
            yield
        finally:
            self.driver.Context.pop()


def find() -> Device:
    """The first GPU with TensorRT; :class:`TensorRtMissing` names what is not there.

    The primary context is taken: TensorRT uses it too.
    """
    try:
        trt = importlib.import_module("tensorrt")
    except (ImportError, OSError) as error:
        raise TensorRtMissing(
            f"the Python module tensorrt cannot be imported ({error}); it comes with JetPack: make the environment "
            "with --system-site-packages, or pip install 'darklane[jetson]'",
            partly=False,
        ) from error
    check_version(str(trt.__version__))
    try:
        driver = importlib.import_module("pycuda.driver")
    except (ImportError, OSError) as error:
        raise TensorRtMissing(
            f"TensorRT {trt.__version__} is there, but pycuda cannot be imported ({error}); pip install pycuda, which "
            "needs the CUDA toolkit to build and libcuda.so.1 of the GPU driver to run",
            partly=True,
        ) from error
    try:
        driver.init()
        if driver.Device.count() < 1:
            raise TensorRtMissing("TensorRT and pycuda are there, but no GPU is found (nvidia-smi)", partly=True)
        gpu = driver.Device(0)
        major, minor = gpu.compute_capability()
        context = gpu.retain_primary_context()
    except driver.Error as error:
        raise TensorRtMissing(
            f"TensorRT and pycuda are there, but the GPU cannot be used ({error}); check the driver, and that the "
            "service may open /dev/nvidia* or /dev/nvhost-*",
            partly=True,
        ) from error
    return Device(trt, driver, context, messages_of(trt), str(gpu.name()), f"{major}.{minor}")


def check_version(version: str) -> None:
    """:class:`TensorRtMissing` for a release that this back end is not written for."""
    numbers = version.split(".")[:2]
    found = tuple(int(number) for number in numbers) if all(n.isdigit() for n in numbers) else (0, 0)
    if OLDEST <= found < TOO_NEW:
        return
    why = "11 removed the flags for FP16 and INT8 that it sets" if found >= TOO_NEW else "older ones lack calls of it"
    raise TensorRtMissing(
        f"TensorRT {version} is installed; this back end is written for 10.3 (JetPack 6) to 10.x (JetPack 7): {why}",
        partly=True,
    )


def messages_of(trt: Any) -> Any:
    """A logger for ``trt``: its errors go to the log and are kept in ``errors``, warnings are for debugging only."""
    severity = trt.ILogger.Severity
    errors = (severity.INTERNAL_ERROR, severity.ERROR)

    class Messages(trt.ILogger):  # type: ignore[misc]  # a class of an optional module
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 wants it by name
            self.errors: deque[str] = deque(maxlen=4)

        def log(self, severity: Any, msg: str) -> None:
            if severity in errors:
                self.errors.append(msg)
            log.log(logging.ERROR if severity in errors else logging.DEBUG, "TensorRT: %s", msg)

    return Messages()


def last_words(messages: Any) -> str:
    """The last errors that TensorRT told, for a message of ours; they are forgotten then."""
    told = "; ".join(messages.errors) or "it gave no reason"
    messages.errors.clear()
    return told[:600]
