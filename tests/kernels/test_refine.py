"""Last bits of `full` and `paper`: noiseless pixels come back to 1e-4 where float32 alone would leave more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kernels import checks
from kernels.backends import cuda
from kernels.backends.host import HostBackend, instruction_sets
from kernels.reference import retrieval as reference
from kernels.settings import SETTINGS
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


def errors(found: tuple[F32, F32, U16], scanner: IlluminationCurves, samples: F32, truth: F64, model: Model) -> F64:
    """Largest error of every value without a fault against the float64 reference, but for another exact root."""
    exposure, ones = np.array([float(EXPOSURE)]), np.ones(1)
    want = reference.retrieve(
        samples.astype(np.float64), scanner, X_UM, exposure, ones, model, None, truth, corrected=False
    )[0]
    relative = (np.abs(found[0] - want) / np.maximum(np.abs(want), SCALE)).max(axis=0)
    good = (found[2] & ~np.uint16(INFORMATIVE)) == 0
    assert good.mean() > 0.9
    one_root = relative < 0.02
    assert (good & ~one_root).mean() < 0.02
    chosen: F64 = relative[good & one_root]
    return chosen


@pytest.mark.parametrize("model", ["full", "paper"])
def test_all_digits_come_back_on_every_instruction_set(model: Model) -> None:
    scanner, samples, truth = noiseless(model, 150)
    for isa in instruction_sets():
        found = fit(HostBackend(isa), scanner, samples, model)
        error = errors(found, scanner, samples, truth, model)
        assert error.max() < 1e-4
        assert np.quantile(error, 0.99) < 7e-5
        plain = HostBackend(isa)
        plain._plain = replace(SETTINGS, bias_most=0.0, refine_rounding=1e-9).vector()
        rounded = fit(plain, scanner, samples, model)
        assert errors(rounded, scanner, samples, truth, model).max() > (1.5e-4 if model == "full" else 8e-5)
        for a, b in zip(found[1:], rounded[1:], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", instruction_sets())
def test_twice_the_digits(isa: str) -> None:
    """Where nothing is left out for speed, what remains is the rounding of the result."""
    scanner, samples, truth = noiseless("full", 100)
    always = HostBackend(isa)
    always._plain = replace(SETTINGS, bias_most=0.0, refine_rounding=1e3).vector()
    error = errors(fit(always, scanner, samples, "full"), scanner, samples, truth, "full")
    assert error.max() < 1e-5
    assert np.quantile(error, 0.9) < 1e-6


def test_all_digits_come_back_from_the_entry_points(gpu: cuda.CudaBackend) -> None:
    scanner, samples, truth = noiseless("full", 60)
    assert errors(fit(gpu, scanner, samples, "full"), scanner, samples, truth, "full").max() < 1e-4
