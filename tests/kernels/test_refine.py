"""Last bits of `full` and `paper`: noiseless pixels come back to 1e-4 where float32 alone would leave more."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import checks
from kernels.backends import cuda
from kernels.backends.host import HostBackend, instruction_sets
from kernels.reference import retrieval as reference
from kernels.types import F32, F64, INFORMATIVE, U16, IlluminationCurves, Model
from tests.kernels import scene

#: Sizes that relative errors are taken of: t, Δ µm, τ² µm², o.
SCALE = np.array([0.1, 1.0, 30.0, 0.1]).reshape(4, 1, 1, 1)
#: Off the grid of float32 numbers that the places of curves lie on.
X_UM = float(np.float32(-4.87361))
EXPOSURE = np.float32(1.25e5)  # 1e6 counts at the peak
MODELS: tuple[Model, ...] = ("paper", "full", "map")


def noiseless(model: Model, columns: int) -> tuple[IlluminationCurves, F32, F64]:
    """Curves, samples and what they were made of."""
    scanner, rng = scene.curves(4, seed=3), np.random.default_rng(6)
    truth = scene.random_truth(rng, 4, columns, dark_field=600.0 if model == "full" else 300.0)
    return scanner, scene.single(scene.expected(scanner, truth, float(EXPOSURE), model, X_UM)), truth


def fit(
    backend: HostBackend | cuda.CudaBackend, scanner: IlluminationCurves, samples: F32, model: Model
) -> tuple[F32, F32, U16]:
    columns = np.full(samples.shape[-1], EXPOSURE, dtype=np.float32)
    packed, prior = checks.curves("curves", scanner), checks.prior("prior", scene.PRIOR)
    ones = np.ones_like(columns)
    return backend.retrieve(samples, packed, X_UM, columns, ones, MODELS.index(model), prior, 1, None, False)


def exact(scanner: IlluminationCurves, samples: F32, truth: F64, model: Model) -> F64:
    """What the float64 reference returns for the same samples."""
    exposure, wide = np.array([float(EXPOSURE)]), samples.astype(np.float64)
    return reference.retrieve(wide, scanner, X_UM, exposure, np.ones(1), model, None, truth, corrected=False)[0]


def errors(found: tuple[F32, F32, U16], want: F64) -> F64:
    """Largest relative error of every value without a fault, but for another exact root."""
    relative = (np.abs(found[0] - want) / np.maximum(np.abs(want), SCALE)).max(axis=0)
    good = (found[2] & ~np.uint16(INFORMATIVE)) == 0
    assert good.mean() > 0.9
    one_root = relative < 0.02
    assert (good & ~one_root).mean() < 0.02
    chosen: F64 = relative[good & one_root]
    return chosen


@pytest.mark.parametrize("model", ["full", "paper"])
def test_all_digits_come_back_on_every_instruction_set(model: Model) -> None:
    """In float32 alone the largest error is 2e-4 to 4e-4 for `full` and 1.3e-4 to 1.6e-4 for `paper`."""
    scanner, samples, truth = noiseless(model, 150)
    want = exact(scanner, samples, truth, model)
    for isa in instruction_sets():
        error = errors(fit(HostBackend(isa), scanner, samples, model), want)
        assert error.max() < 1e-4
        assert np.quantile(error, 0.999) < 8e-5


def test_all_digits_come_back_from_the_entry_points(gpu: cuda.CudaBackend) -> None:
    scanner, samples, truth = noiseless("full", 60)
    error = errors(fit(gpu, scanner, samples, "full"), exact(scanner, samples, truth, "full"))
    assert error.max() < 1e-4
