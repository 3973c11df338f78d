"""Stepped retrieval: regular masks, masks of three and four ways, against the reference, the truth and the spread."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from kernels import Flag, checks, retrieve, retrieve_stepped
from kernels.backends.host import HostBackend, instruction_sets
from kernels.reference import stepped as reference
from kernels.reference.model import widen
from kernels.settings import SETTINGS
from kernels.stepped import _pack
from kernels.types import F32, F64, IlluminationCurves, Model
from tests.kernels import scene

PITCH_UM = 75.0


def mask(rows: int, ways: int, columns: int | None = None, seed: int = 4) -> IlluminationCurves:
    """Curves of a ``ways``-way mask, one set for each row or, with ``columns``, for each pixel."""
    rng = np.random.default_rng(seed)
    per = () if columns is None else (columns,)
    shape = (2, rows, *per, ways)
    shifts = {1: [0.0], 3: [-9.0, 0.0, 9.0], 4: list(scene.SHIFTS_UM)}[ways]
    centre = PITCH_UM * np.arange(ways) + shifts + rng.standard_normal(shape)
    width = scene.WIDTH_UM + 0.5 * rng.standard_normal(shape)
    area = 8.0 * np.sqrt(2 * np.pi) * scene.WIDTH_UM * (1 + 0.05 * rng.standard_normal(shape))
    floor = np.multiply(8.0 * 0.3, 1 + 0.05 * rng.standard_normal((2, rows, *per)))
    return IlluminationCurves(*(a.astype(np.float32) for a in (area, centre, width, floor)))


@dataclass(frozen=True)
class Case:
    """A mask, where it is sampled, and how."""

    ways: int
    positions: tuple[float, ...]
    model: Model
    gain: float = 2e3
    per_pixel: bool = False


REGULAR_3, REGULAR_5 = (-14.0, 0.0, 14.0), (-22.0, -11.0, 0.0, 11.0, 22.0)
CASES = {
    "3 positions": Case(1, REGULAR_3, "map"),
    "5 positions, o tied, pixels": Case(1, REGULAR_5, "map", per_pixel=True),
    "5 positions": Case(1, REGULAR_5, "full", 2e4),
    "16 positions, pixels": Case(1, tuple(np.arange(-36.0, 39.0, 4.8)), "full", 5e3, per_pixel=True),
    "3-way mask": Case(3, tuple(3.0 + PITCH_UM * np.arange(3)), "map"),
    "4-way mask": Case(4, tuple(scene.X0_UM + PITCH_UM * np.arange(4)), "full", 2e5),
    "3-way mask, two scans": Case(3, (-6.0, 69.0, 144.0, 8.0, 83.0, 158.0), "full", 2e4),
}


def expected(case: Case, curves: IlluminationCurves, truth: F64, exposure: npt.ArrayLike) -> F64:
    """(N, 2, rows, columns) counts."""
    parts = [part if case.per_pixel else part[:, :, None] for part in widen(curves)]
    unknowns = np.moveaxis(truth, 0, -1)
    counts, _ = reference.evaluate(
        (parts[0], parts[1], parts[2], parts[3]), np.array(case.positions), PITCH_UM, unknowns
    )
    samples: F64 = np.moveaxis(counts, -1, 0) * np.asarray(exposure)
    return samples


def draw(case: Case, rows: int, columns: int, seed: int = 8) -> tuple[IlluminationCurves, F64, F32, F32, F32]:
    """Curves, truth, samples, exposure (N, columns) and variance factor (columns,)."""
    rng = np.random.default_rng(seed)
    curves = mask(rows, case.ways, columns if case.per_pixel else None)
    truth = scene.random_truth(rng, rows, columns)
    exposure = (case.gain * rng.uniform(0.5, 1.5, (len(case.positions), columns))).astype(np.float32)
    factor = rng.uniform(0.5, 1.5, columns).astype(np.float32)
    samples = scene.single(rng.poisson(expected(case, curves, truth, exposure[:, None, None, :])))
    return curves, truth, samples, exposure, factor


def run(
    isa: str, case: Case, curves: IlluminationCurves, samples: F32, exposure: F32, factor: F32, threads: int = 1
) -> Any:
    rows, columns = samples.shape[2:]
    return HostBackend(isa).retrieve_stepped(
        samples,
        _pack(curves, rows, columns),
        np.array(case.positions, dtype=np.float32),
        PITCH_UM,
        exposure,
        factor,
        checks.prior("prior", scene.PRIOR) if case.model == "map" else None,
        threads,
    )


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_reference(name: str, isa: str) -> None:
    case = CASES[name]
    curves, _, samples, exposure, factor = draw(case, 3, 37)
    images, sigma, flags = run(isa, case, curves, samples, exposure, factor)
    begin = None if case.model == "map" else images.astype(np.float64)
    want, want_sigma, want_flags = reference.retrieve_stepped(
        samples.astype(np.float64),
        curves,
        np.array(case.positions),
        PITCH_UM,
        exposure.astype(np.float64),
        factor.astype(np.float64),
        case.model,
        scene.PRIOR,
        begin,
    )
    plain = ((flags | want_flags) & ~np.uint16(Flag.PRIOR_DOMINATED)) == 0
    assert (flags == want_flags).mean() > 0.97
    assert plain.mean() > (0.95 if case.model == "map" else 0.5)
    off = np.abs(images - want)[:, plain] / want_sigma[:, plain]
    assert off.max() < 0.02
    np.testing.assert_allclose(sigma[:, plain], want_sigma[:, plain], rtol=0.02)


@pytest.mark.parametrize("name", CASES)
def test_noiseless_samples_give_back_the_truth(name: str) -> None:
    case = CASES[name]
    rows, columns = 4, 23
    curves = mask(rows, case.ways, columns if case.per_pixel else None)
    truth = scene.random_truth(np.random.default_rng(2), rows, columns, dark_field=300.0)
    gain = 1e6
    samples = scene.single(expected(case, curves, truth, gain))
    found = retrieve_stepped(
        samples, curves, case.positions, exposure=gain, model=case.model, prior=scene.PRIOR, threads=2
    )
    # In units of what the paper's quantities are read in; o free and weakly seen is the least well conditioned.
    off = np.abs(found.images - truth) / np.array([1.0, 10.0, 150.0, 1.0])[:, None, None, None]
    good = (found.flags & ~np.uint16(Flag.PRIOR_DOMINATED)) == 0
    assert good.mean() > 0.95
    within = off[:, good] < (1e-4 if case.model == "map" else 2e-3)
    if name == "4-way mask":  # four samples and four unknowns can have a second exact root (docs/kernels.md)
        assert within.mean() > 0.9
        again = expected(case, curves, found.images.astype(np.float64), gain)
        np.testing.assert_allclose(again[:, good], samples[:, good], rtol=1e-4)
    else:
        assert within.all()


@pytest.mark.parametrize(("model", "gain"), [("full", 2e5), ("map", 2e5)])
def test_a_four_way_mask_is_the_scanned_lane(model: Model, gain: float) -> None:
    """One estimator: the lane's own retrieval says the same, but for what only the lane takes off skewed errors."""
    rng = np.random.default_rng(1)
    curves = scene.curves(4, seed=4)
    samples = scene.single(rng.poisson(scene.expected(curves, scene.random_truth(rng, 4, 50), gain, model)))
    lane = retrieve(samples, curves, scene.X0_UM, exposure=gain, model=model, prior=scene.PRIOR)
    at = scene.X0_UM + PITCH_UM * np.arange(4)
    found = retrieve_stepped(samples, curves, at, exposure=gain, model=model, prior=scene.PRIOR)
    good = ((lane.flags | found.flags) & ~np.uint16(Flag.PRIOR_DOMINATED)) == 0
    assert good.mean() > (0.9 if model == "map" else 0.5)
    assert (np.abs(lane.images - found.images)[:, good] < 5e-3 * lane.sigma[:, good]).all()
    wider = SETTINGS.map_coverage if model == "map" else 1.0
    np.testing.assert_allclose(wider * found.sigma[:, good], lane.sigma[:, good], rtol=0.03)


@pytest.mark.parametrize("name", ["3 positions", "5 positions", "3-way mask"])
def test_sigma_is_the_spread(name: str) -> None:
    case = replace(CASES[name], gain=2e4 if CASES[name].model == "map" else 2e5)
    rng = np.random.default_rng(6)
    curves = mask(1, case.ways)
    truth = np.broadcast_to(scene.uniform_truth("typical", 1, 1), (4, 2, 1, 4000)).copy()
    # In `map` σ includes the prior: so does the draw.
    truth[3] += (case.model == "map") * scene.PRIOR.sd[:, None, None] * rng.standard_normal(truth[3].shape)
    samples = scene.single(rng.poisson(expected(case, curves, truth, case.gain)))
    found = retrieve_stepped(samples, curves, case.positions, exposure=case.gain, model=case.model, prior=scene.PRIOR)
    good = (found.flags & ~np.uint16(Flag.PRIOR_DOMINATED)) == 0
    assert good.mean() > 0.99
    pull = ((found.images - truth) / found.sigma).reshape(8, -1)
    assert np.abs(pull.mean(axis=1)).max() < 0.1
    np.testing.assert_allclose(pull.std(axis=1), 1.0, atol=0.05)
    coverage = (np.abs(pull) < 1).mean(axis=1)
    assert (coverage > 0.66).all()
    assert (coverage < 0.71).all()


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize("name", ["3 positions", "16 positions, pixels"])
def test_threads_and_neighbours_change_no_bit(name: str, isa: str) -> None:
    case = CASES[name]
    curves, _, samples, exposure, factor = draw(case, 5, 97)
    one = run(isa, case, curves, samples, exposure, factor)
    many = run(isa, case, curves, samples, exposure, factor, threads=3)
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a, b)
    half = np.ascontiguousarray(samples[..., 40:])
    own = (
        curves
        if not case.per_pixel
        else IlluminationCurves(
            *(np.ascontiguousarray(a[:, :, 40:]) for a in (curves.area, curves.centre, curves.width, curves.floor))
        )
    )
    part = run(isa, case, own, half, np.ascontiguousarray(exposure[:, 40:]), factor[40:].copy())
    for a, b in zip(one, part, strict=True):
        np.testing.assert_array_equal(a[..., 40:], b)


@pytest.mark.parametrize("model", ["full", "map"])
def test_what_cannot_be_fitted_is_flagged(model: Model) -> None:
    case = Case(1, REGULAR_5, model, 2e4, per_pixel=True)
    curves, _, samples, exposure, factor = draw(case, 3, 20)
    samples[1, 0, 0, 3], samples[2, 0, 1, 4], samples[0, 0, 2, 5], samples[4, 0, 2, 6] = np.nan, 0.0, 3e9, -1.0
    curves.width[0, 0, 7], curves.floor[0, 0, 8], curves.area[0, 0, 9] = np.nan, np.inf, 0.0
    bad = np.zeros((2, 3, 20), dtype=bool)
    for row, column in ((0, 3), (1, 4), (2, 5), (2, 6), (0, 7), (0, 8), (0, 9)):
        bad[0, row, column] = True
    if model == "map":
        bad[1] = bad[0]
    found = retrieve_stepped(
        samples, curves, REGULAR_5, exposure=exposure, variance_factor=factor, model=model, prior=scene.PRIOR
    )
    np.testing.assert_array_equal(found.flags == Flag.BAD_INPUT, bad)
    assert np.isnan(found.images[:, bad]).all()
    assert np.isnan(found.sigma[:, bad]).all()
    assert np.isfinite(found.images[:, ~bad]).all()


def test_samples_of_no_curve_and_few_counts_are_flagged() -> None:
    samples = np.full((5, 2, 1, 2), 1000.0, dtype=np.float32)
    samples[2, :, 0, 0] = 10.0  # a hole where the peak should be
    found = retrieve_stepped(samples, mask(1, 1), REGULAR_5, exposure=100.0, model="full")
    assert (found.flags[:, 0, 0] & (Flag.NO_EXACT_ROOT | Flag.SINGULAR | Flag.BOUND_HIT)).all()
    few = retrieve_stepped(samples / np.float32(500), mask(1, 1), REGULAR_5, exposure=0.2, model="full")
    assert (few.flags & Flag.LOW_COUNTS).all()


def test_empty() -> None:
    for shape in ((3, 2, 0, 4), (3, 2, 4, 0)):
        found = retrieve_stepped(np.ones(shape, dtype=np.float32), mask(shape[2], 1), REGULAR_3, prior=scene.PRIOR)
        assert found.images.shape == (4, *shape[1:])
        assert found.flags.shape == shape[1:]
