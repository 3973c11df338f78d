"""The compiled retrieval against its float64 reference, on every instruction set, and whatever the threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kernels import Flag, checks, retrieve
from kernels.backends.host import HostBackend, instruction_sets
from kernels.reference import retrieval as reference
from kernels.types import F32, INFORMATIVE, Model
from tests.kernels import scene

MODELS: tuple[Model, ...] = ("paper", "full", "map")


def run(samples: F32, model: Model, isa: str, gain: F32, factor: F32, threads: int = 1) -> tuple[Any, Any, Any]:
    rows = samples.shape[2]
    packed = checks.curves("curves", scene.curves(rows, seed=4))
    prior = checks.prior("prior", scene.PRIOR)
    return HostBackend(isa).retrieve(samples, packed, scene.X0_UM, gain, factor, MODELS.index(model), prior, threads)


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize(("model", "gain"), [("map", 2e3), ("full", 2e5), ("paper", 2e5)])
def test_agrees_with_the_reference(model: Model, gain: float, isa: str) -> None:
    rng = np.random.default_rng(8)
    rows, columns = 5, 61  # no multiple of any vector width
    scanner = scene.curves(rows, seed=4)
    exposure = (gain * rng.uniform(0.5, 1.5, columns)).astype(np.float32)
    factor = rng.uniform(0.5, 1.5, columns).astype(np.float32)
    truth = scene.random_truth(rng, rows, columns)
    samples = scene.single(rng.poisson(scene.expected(scanner, truth, exposure, model)))
    images, sigma, flags = run(samples, model, isa, exposure, factor)
    # With o free some pixels have two exact roots: the reference must then confirm the one that was found.
    begin = None if model == "map" else images.astype(np.float64)
    want, want_sigma, want_flags = reference.retrieve(
        samples.astype(np.float64),
        scanner,
        scene.X0_UM,
        exposure.astype(np.float64),
        factor.astype(np.float64),
        model,
        scene.PRIOR,
        begin,
    )
    informative = np.uint16(INFORMATIVE)
    plain = ((flags | want_flags) & ~informative) == 0
    # A pixel without an exact root is left early, before all flags of the reference apply to it, but never unflagged.
    assert (((flags & ~informative) == 0) == ((want_flags & ~informative) == 0)).mean() > 0.98
    assert (flags == want_flags).mean() > 0.95
    assert plain.mean() > (0.99 if model == "map" else 0.5)
    off = np.abs(images - want)[:, plain] / want_sigma[:, plain]
    assert off.max() < 0.02, "differs from the reference by more than 2 % of its own 1-σ"
    assert np.quantile(off, 0.99) < 4e-3
    np.testing.assert_allclose(sigma[:, plain], want_sigma[:, plain], rtol=0.02)


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("model", MODELS)
def test_threads_and_neighbours_change_no_bit(model: Model, isa: str) -> None:
    rng = np.random.default_rng(9)
    rows, columns = 3, 2500  # several tiles, and rows that begin inside of one
    scanner = scene.curves(rows, seed=4)
    ones = np.ones(columns, dtype=np.float32)
    truth = scene.random_truth(rng, rows, columns)
    samples = scene.single(rng.poisson(scene.expected(scanner, truth, 1e3, "full")))
    gain = ones * np.float32(1e3)
    one = run(samples, model, isa, gain, ones)
    for threads in (2, 5):
        for a, b in zip(one, run(samples, model, isa, gain, ones, threads), strict=True):
            np.testing.assert_array_equal(a, b)
    # A pixel alone in the world is fitted to the same bits as among 7 500 others.
    for column in (0, 1234, 2499):
        alone = np.ascontiguousarray(samples[..., column : column + 1])
        for a, b in zip(one, run(alone, model, isa, gain[:1], ones[:1]), strict=True):
            np.testing.assert_array_equal(a[..., column : column + 1], b)


@pytest.mark.parametrize("model", MODELS)
def test_results_go_into_the_arrays_that_are_given(model: Model) -> None:
    scanner, rng = scene.curves(3), np.random.default_rng(2)
    samples = [
        scene.single(rng.poisson(scene.expected(scanner, scene.random_truth(rng, 3, 70), 1e3, "full")))
        for _ in range(2)
    ]
    samples[1][0, 0, 1, 5] = np.nan
    first, want = (
        retrieve(y, scanner, scene.X0_UM, exposure=1e3, model=model, prior=scene.PRIOR, backend="host") for y in samples
    )
    got = retrieve(
        samples[1], scanner, scene.X0_UM, exposure=1e3, model=model, prior=scene.PRIOR, backend="host", out=first
    )
    for field in ("images", "sigma", "flags"):
        assert getattr(got, field) is getattr(first, field)
        np.testing.assert_array_equal(getattr(got, field), getattr(want, field))


@pytest.mark.parametrize("model", MODELS)
def test_bad_samples_are_flagged_and_never_filled(model: Model) -> None:
    scanner = scene.curves(2)
    samples = scene.single(scene.expected(scanner, scene.uniform_truth("typical", 2, 40), 1e3, "full"))
    bad: dict[tuple[int, int, int], float] = {
        (0, 0, 3): np.nan,
        (1, 0, 4): 0.0,
        (0, 1, 5): -1.0,
        (1, 1, 6): np.inf,
        (0, 0, 7): 2e9,
    }
    for (b, row, column), value in bad.items():
        samples[2, b, row, column] = value
    result = retrieve(samples, scanner, scene.X0_UM, exposure=1e3, model=model, prior=scene.PRIOR)
    spoilt = np.zeros((2, 2, 40), dtype=bool)
    for b, row, column in bad:
        spoilt[b, row, column] = True
    if model == "map":
        spoilt |= spoilt.any(axis=0)
    assert (((result.flags & Flag.BAD_INPUT) != 0) == spoilt).all()
    for images in (result.images, result.sigma):
        assert np.isnan(images[:, spoilt]).all()
        assert np.isfinite(images[:, ~spoilt]).all()


def test_all_zero_and_all_nan() -> None:
    scanner = scene.curves(1)
    for value in (0.0, np.nan):
        samples = np.full((4, 2, 1, 33), value, dtype=np.float32)
        result = retrieve(samples, scanner, scene.X0_UM, model="full")
        assert (result.flags == Flag.BAD_INPUT).all()
        assert np.isnan(result.images).all()


@pytest.mark.parametrize(("rows", "columns"), [(0, 5), (5, 0), (1, 1), (7, 1), (1, 17)])
def test_odd_sizes(rows: int, columns: int) -> None:
    scanner = scene.curves(rows)
    samples = scene.single(scene.expected(scanner, scene.uniform_truth("air", rows, columns), 1e3, "full"))
    result = retrieve(samples, scanner, scene.X0_UM, exposure=1e3, prior=scene.PRIOR, threads=2)
    assert result.images.shape == result.sigma.shape == (4, 2, rows, columns)
    assert result.backend == "host"
    assert result.images[0] == pytest.approx(np.ones((2, rows, columns)), abs=1e-4)


def test_few_counts_are_flagged() -> None:
    scanner = scene.curves(1)
    samples = np.full((4, 2, 1, 4), 2.0, dtype=np.float32)
    result = retrieve(samples, scanner, scene.X0_UM, exposure=0.5, prior=scene.PRIOR)
    assert (result.flags & Flag.LOW_COUNTS != 0).all()


def test_a_singular_working_point_is_flagged() -> None:
    """At x0 = +5 µm the samples lie at ±5 and ±15 µm, where t, τ² and o cannot be told apart (physics.md 3)."""
    scanner = scene.curves(1)
    truth = scene.uniform_truth("air", 1, 64)
    rng = np.random.default_rng(2)
    samples = scene.single(rng.poisson(scene.expected(scanner, truth, 1.5e3, "full", x_um=5.0)))
    free = retrieve(samples, scanner, 5.0, exposure=1.5e3, model="full")
    assert ((free.flags & (Flag.SINGULAR | Flag.NO_EXACT_ROOT | Flag.BOUND_HIT | Flag.NOT_CONVERGED)) != 0).all()
    tied = retrieve(samples, scanner, 5.0, exposure=1.5e3, prior=scene.PRIOR)
    assert ((tied.flags & Flag.PRIOR_DOMINATED) != 0).all()
