"""The two back ends of the kernels, `host` and `cuda`, behind one small protocol."""

from __future__ import annotations

import functools
import importlib.util
from typing import Literal, Protocol

from kernels.backends.acquisition import AcquisitionBackend
from kernels.types import F32, I32, U8, U16

#: Images, sigma and flags of a retrieval.
Results = tuple[F32, F32, U16]
BackendName = Literal["auto", "host", "cuda"]


class Window(Protocol):
    """Phase sums of one window of grid columns, wherever the back end keeps them."""

    def clear(self) -> None:
        """All sums are zero."""
        ...

    def add(self, frames: U16, lower: I32, fraction: F32, good: U8 | None, threads: int) -> None:
        """Add frames (n, 2, rows, 128) at places (n, 128): grid column ``lower`` and the ``fraction`` beyond it.

        ``good`` (2, rows, 128): values of pixels that are 0 there are left out; None takes all.
        """
        ...

    def take(self, columns: int, used: int) -> F32:
        """The first ``columns`` (4, 2, rows, columns); the rest of the ``used`` ones moves to the front."""
        ...


class Backend(AcquisitionBackend, Protocol):
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
        out: Results | None = None,
        unbiased: bool = True,
    ) -> Results:
        """Images, sigma (4, 2, rows, columns) and flags (2, rows, columns): those of ``out``, or new ones."""
        ...

    def window(self, rows: int, capacity: int) -> Window:
        """Empty phase sums of ``rows`` detector rows and ``capacity`` grid columns."""
        ...

    def ratio_images(self, images: F32, sigma: F32, threads: int) -> tuple[F32, F32]:
        """Values and 1-σ, (7, n) each, of images and sigma (8, n)."""
        ...

    def fit_curves(
        self, positions: F32, flats: F32, start: F32, least: F32, paper: bool, threads: int
    ) -> tuple[F32, F32]:
        """Parameters (13, lines) and residual (lines,) of flats (P, 4, lines) from start (13, lines)."""
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
    found: Backend
    if chosen == "cuda":
        from kernels.backends.cuda import CudaBackend  # noqa: PLC0415 - compiles for the device

        found = CudaBackend()
    else:
        from kernels.backends.host import HostBackend  # noqa: PLC0415 - loads the compiled module

        found = HostBackend()
    return found
