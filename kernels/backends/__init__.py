"""The two back ends of the kernels, `host` and `cuda`, behind one small protocol."""

from __future__ import annotations

import functools
import importlib.util
from typing import Literal, Protocol

from kernels.types import F32, U16

BackendName = Literal["auto", "host", "cuda"]


class Backend(Protocol):
    """What a back end computes; arguments are checked before, arrays are C-ordered NumPy arrays."""

    name: str

    def retrieve(
        self,
        samples: F32,
        curves: F32,
        x_um: float,
        exposure: F32,
        variance_factor: F32,
        model: int,
        prior: F32,
        threads: int,
    ) -> tuple[F32, F32, U16]:
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns)."""
        ...


@functools.cache
def backends() -> tuple[str, ...]:
    """Names of the back ends that can compute on this machine, the preferred one first."""
    return ("cuda", "host") if _cuda_works() else ("host",)


def _cuda_works() -> bool:
    if importlib.util.find_spec("cupy") is None:
        return False
    from kernels.backends import cuda  # noqa: PLC0415 - CuPy is optional and slow to import

    return cuda.available()


@functools.cache
def get(name: BackendName) -> Backend:
    """The back end called ``name``; `auto` is the preferred one. ValueError when it cannot compute here."""
    chosen = backends()[0] if name == "auto" else name
    if chosen not in backends():
        raise ValueError(f"backend: {name!r} cannot compute on this machine, only {', '.join(backends())} can")
    if chosen == "cuda":
        from kernels.backends.cuda import CudaBackend  # noqa: PLC0415

        return CudaBackend()
    from kernels.backends.host import HostBackend  # noqa: PLC0415

    return HostBackend()
