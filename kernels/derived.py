"""Images derived from a retrieval: attenuation and thickness-independent ratios of the bins (physics.md 6)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels import checks
from kernels.backends import BackendName, get
from kernels.settings import BINS
from kernels.types import F32

#: (value, 1-σ) of one image.
ValueAndSigma = tuple[F32, F32]


@dataclass(frozen=True)
class Ratios:
    """Derived images with 1-σ, each a pair of float32 arrays; NaN where a denominator is within 3 σ of zero.

    ``attenuation`` −ln t and ``dark_field_per_attenuation`` τ²/(−ln t), µm²: (2 bins, …).
    ``r_df`` = τ²_low/τ²_high, ``r_ab`` = ln t_low/ln t_high, ``r_of`` = ln o_low/ln o_high: (…).
    """

    attenuation: ValueAndSigma
    r_df: ValueAndSigma
    r_ab: ValueAndSigma
    r_of: ValueAndSigma
    dark_field_per_attenuation: ValueAndSigma


def ratios(images: F32, sigma: F32, *, backend: BackendName = "auto", threads: int = 1) -> Ratios:
    """Ratio images of the paper's Fig. 2d and 4c, f.

    ``images`` and ``sigma``: (4 channels, 2 bins, …) float32 as in :class:`kernels.Retrieval`. The σ takes the
    channels of one pixel as independent. Raises ValueError that names the argument.
    """
    given = np.asarray(images)
    shape = (4, BINS, *given.shape[2:])
    data: F32 = checks.array("images", images, shape, np.float32)
    spread: F32 = checks.array("sigma", sigma, shape, np.float32)
    pixels = data.size // 8
    workers = int(checks.number("threads", threads, 1, 1024))
    flat_values, flat_errors = get(backend).ratio_images(data.reshape(8, pixels), spread.reshape(8, pixels), workers)
    values, errors = (a.reshape((7, *shape[2:])) for a in (flat_values, flat_errors))
    return Ratios(
        attenuation=(values[0:2], errors[0:2]),
        r_df=(values[2], errors[2]),
        r_ab=(values[3], errors[3]),
        r_of=(values[4], errors[4]),
        dark_field_per_attenuation=(values[5:7], errors[5:7]),
    )
