"""Detector correction, stepped and sinusoidal retrieval: the .cu entry points against the float64 references."""

from __future__ import annotations

import numpy as np
import pytest

import kernels
from kernels import Flag
from kernels.frames import DeadTimeModel
from kernels.reference import correct as correct_reference
from kernels.reference import sinusoid as sinusoid_reference
from kernels.reference import stepped as stepped_reference
from kernels.types import F32, F64, IlluminationCurves, Model
from tests.kernels import scene
from tests.kernels.gpu import cupy_standin


@pytest.mark.parametrize("model", ["non-paralysable", "paralysable"])
@pytest.mark.parametrize(("n", "rows"), [(3, 3), (1, 1), (0, 2)])
def test_correct_frames(public: cupy_standin.Machine, model: DeadTimeModel, n: int, rows: int) -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 20_000, (n, 2, rows, 128)).astype(np.uint16)
    good = (rng.random((2, rows, 128)) > 0.05).astype(np.uint8)
    if n:
        frames[0, 0, 0, 5], frames[0, 1, 0, 6], frames[0, :, 0, 7] = 65535, 65535, 0
    dead_time = rng.uniform(0, 2e-7, (rows, 128))
    exposure = rng.uniform(6e-3, 8e-3, n)
    given = (frames, good)
    found = kernels.correct_frames(*given, dead_time_s=dead_time, exposure_s=exposure, model=model, backend="cuda")
    want, flags = correct_reference.correct_frames(
        frames, np.min(good, axis=0, keepdims=True)[0], dead_time, exposure, model == "paralysable", 65535
    )
    assert found.backend == "cuda"
    np.testing.assert_array_equal(found.flags, flags)
    clear = np.broadcast_to((flags == 0)[:, None], frames.shape)
    np.testing.assert_allclose(found.counts[clear], want[clear], rtol=1e-4)
    assert np.isnan(found.counts[~clear]).all()
    assert n == 0 or (~clear).any()


@pytest.mark.parametrize(("model", "count"), [("map", 3), ("map", 7), ("full", 7)])
@pytest.mark.parametrize(("rows", "columns"), [(3, 13), (1, 1), (2, 0)])
def test_retrieve_stepped(public: cupy_standin.Machine, model: Model, count: int, rows: int, columns: int) -> None:
    rng = np.random.default_rng(2)
    area = np.full((2, rows, 1), 8.0 * np.sqrt(2 * np.pi) * scene.WIDTH_UM, dtype=np.float32)
    centre, width = np.zeros_like(area), np.full_like(area, scene.WIDTH_UM)
    curves = IlluminationCurves(area, centre, width, np.full((2, rows), 0.4, dtype=np.float32))
    wide = [np.asarray(a, dtype=np.float64)[:, :, None] for a in (area, centre, width, curves.floor)]
    at = np.linspace(-18.0, 16.0, count)
    truth = scene.random_truth(rng, rows, columns, dark_field=200.0)
    counts, _ = stepped_reference.evaluate((wide[0], wide[1], wide[2], wide[3]), at, 75.0, np.moveaxis(truth, 0, -1))
    samples = scene.single(rng.poisson(np.moveaxis(counts, -1, 0) * 1e5))
    if columns > 10:
        samples[1, 0, 0, 3], samples[2, 1, 1, 4], samples[0, 0, 2, 5] = np.nan, 0.0, 3e9
    found = kernels.retrieve_stepped(samples, curves, at, exposure=1e5, model=model, prior=scene.PRIOR, backend="cuda")
    host = kernels.retrieve_stepped(samples, curves, at, exposure=1e5, model=model, prior=scene.PRIOR, backend="host")
    assert found.images.shape == host.images.shape
    if columns == 0:
        return
    assert (found.flags == host.flags).mean() > 0.95
    want, want_sigma, flags = stepped_reference.retrieve_stepped(
        samples.astype(np.float64),
        curves,
        at,
        75.0,
        np.full((count, columns), 1e5),
        np.ones(columns),
        model,
        scene.PRIOR,
        None if model == "map" else found.images.astype(np.float64),
    )
    plain = ((found.flags | flags) & ~np.uint16(Flag.PRIOR_DOMINATED)) == 0
    assert plain.mean() > 0.4 or columns == 1
    assert (np.abs(found.images - want)[:, plain] < 0.03 * want_sigma[:, plain]).all()
    np.testing.assert_allclose(found.sigma[:, plain], want_sigma[:, plain], rtol=0.02)
    bad = (flags & Flag.BAD_INPUT) != 0
    np.testing.assert_array_equal((found.flags & Flag.BAD_INPUT) != 0, bad)
    assert np.isnan(found.images[:, bad]).all()


@pytest.mark.parametrize("compared", [True, False])
@pytest.mark.parametrize(("rows", "columns"), [(3, 47), (1, 1), (2, 0)])
def test_retrieve_sinusoid(public: cupy_standin.Machine, compared: bool, rows: int, columns: int) -> None:
    rng = np.random.default_rng(3)
    period = 4.8
    at, reference_at = np.arange(5) * period / 5, np.arange(8) * period / 8
    mean = rng.uniform(2e3, 2e4, (2, rows, columns))
    phase = rng.uniform(-1, 1, mean.shape)

    def counts(where: F64, visibility: float) -> F32:
        steps = where[:, None, None, None]
        return scene.single(rng.poisson(mean * (1 + visibility * np.cos(2 * np.pi * steps / period - phase))))

    samples, reference = counts(at, 0.2), counts(reference_at, 0.3)
    if columns > 10:
        samples[1, 0, 0, 3], samples[:, 1, 1, 4], samples[0, 0, 2, 5] = np.nan, 0.0, 3e9
    found = kernels.retrieve_sinusoid(
        samples, reference if compared else None, at, period, reference_positions_um=reference_at, backend="cuda"
    )
    host = kernels.retrieve_sinusoid(
        samples, reference if compared else None, at, period, reference_positions_um=reference_at, backend="host"
    )
    np.testing.assert_array_equal(found.flags, host.flags)
    np.testing.assert_allclose(found.images, host.images, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.sigma, host.sigma, rtol=1e-3)
    if not compared or columns == 0:
        return
    want, want_sigma, flags = sinusoid_reference.retrieve_sinusoid(
        samples.reshape(5, -1).astype(np.float64),
        sinusoid_reference.design(at, period, np.ones(5)),
        reference.reshape(8, -1).astype(np.float64),
        sinusoid_reference.design(reference_at, period, np.ones(8)),
        period,
        1.0,
    )
    np.testing.assert_array_equal(found.flags.ravel(), flags)
    clear = flags == 0
    assert clear.mean() > 0.8
    np.testing.assert_allclose(found.images.reshape(4, -1)[:, clear], want[:, clear], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.sigma.reshape(4, -1)[:, clear], want_sigma[:, clear], rtol=1e-3)
