"""Retrieval: from phase sums to transmission, refraction, dark-field and offset, equation (2)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.backends import BackendName, get
from kernels.settings import BINS, GROUPS
from kernels.types import F32, IlluminationCurves, Model, OffsetPrior, Retrieval

#: The working point is searched on the axis of the four curves; nothing sensible lies further out.
MAX_WORKING_POINT_UM = 150.0


def retrieve(
    samples: F32,
    curves: IlluminationCurves,
    x0_um: float,
    *,
    exposure: npt.ArrayLike = 1.0,
    variance_factor: npt.ArrayLike = 1.0,
    model: Model = "map",
    prior: OffsetPrior | None = None,
    backend: BackendName = "auto",
    threads: int = 1,
    unbiased: bool = True,
    out: Retrieval | None = None,
) -> Retrieval:
    """Fit equation (2) to every pixel and bin.

    ``samples``: (4 groups, 2 bins, rows, columns) float32 counts, as :func:`kernels.normalise` returns them.
    ``curves``: equation (1) of every row, fitted in the form that ``model`` uses. ``x0_um``: working point of
    the mask. ``exposure``: expected counts of a sample are this many times those of the curves; a number or
    (columns,). ``variance_factor``: variance of a sample over its value, a number or (columns,).

    ``model``: `paper` is equation (2) as printed, `full` the wrapped three-Gaussian form, `map` that with the
    ``prior`` on o. ``threads`` never changes a result. ``out``: an earlier result of the same shape, whose arrays
    are overwritten and returned; without it new ones are made, which costs time where they are large.

    ``unbiased``: take off what noise makes the fit err by on average (docs/kernels.md), where that exceeds 0.05 σ. Use
    False for samples without noise, as of a simulation: what made them comes back. σ is the same.

    σ of `paper` and `full` is the standard deviation. That of `map` is conservative: ``SETTINGS.map_coverage`` (1.15)
    standard deviations and the longer side of a skewed interval, so that 5 σ hold where no flag is set.

    A sample that is NaN, zero, negative or saturated gives NaN and ``Flag.BAD_INPUT``, in both bins for `map`.
    Raises ValueError that names the argument and the value.
    """
    number = checks.model(model)
    data: F32 = checks.array("samples", samples, (GROUPS, BINS, None, None), np.float32)
    rows, columns = data.shape[2:]
    packed = checks.curves("curves", curves, rows)
    x_um = checks.number("x0_um", x0_um, -MAX_WORKING_POINT_UM, MAX_WORKING_POINT_UM)
    if model == "map" and prior is None:
        raise ValueError("prior: is None, but model 'map' needs one; calibrate, or use model 'full'")
    packed_prior = np.zeros(12, dtype=np.float32) if prior is None else checks.prior("prior", prior)
    engine = get(backend)
    images, sigma, flags = engine.retrieve(
        data,
        packed,
        x_um,
        checks.per_column("exposure", exposure, columns),
        checks.per_column("variance_factor", variance_factor, columns),
        number,
        packed_prior,
        int(checks.number("threads", threads, 1, 1024)),
        None if out is None else checks.results("out", out, data),
        unbiased,
    )
    return Retrieval(images=images, sigma=sigma, flags=flags, backend=engine.name)
