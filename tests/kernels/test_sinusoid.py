"""Phase stepping: sinusoids against the float64 reference, the truth, and the spread of Poisson counts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels import Flag, retrieve_sinusoid
from kernels.backends import get
from kernels.backends.host import HostBackend, instruction_sets
from kernels.reference import sinusoid as reference
from kernels.sinusoid import _stepping
from kernels.types import F32, F64
from tests.kernels.scene import single

PERIOD_UM = 4.8


def fringes(positions: npt.ArrayLike, mean: npt.ArrayLike, centre: npt.ArrayLike, visibility: npt.ArrayLike) -> F64:
    """(P, 2, rows, columns) expected counts; the three of (2, rows, columns)."""
    x = np.asarray(positions)[:, None, None, None]
    wave: F64 = np.asarray(mean) * (1 + np.asarray(visibility) * np.cos(2 * np.pi * (x - centre) / PERIOD_UM))
    return wave


def scene(rng: np.random.Generator, rows: int, columns: int, steps: int, counts: float = 2e4) -> tuple[F32, F32, F64]:
    shape = (2, rows, columns)
    at = PERIOD_UM * np.arange(steps) / steps
    flat = fringes(at, np.full(shape, counts), rng.uniform(-2, 2, shape), rng.uniform(0.2, 0.7, shape))
    seen = fringes(at, counts * rng.uniform(0.2, 1, shape), rng.uniform(-2, 2, shape), rng.uniform(0.05, 0.7, shape))
    return single(rng.poisson(seen)), single(rng.poisson(flat)), at


@pytest.mark.parametrize("isa", instruction_sets())
@pytest.mark.parametrize(("rows", "columns", "steps"), [(3, 37, 5), (1, 1, 3), (2, 0, 4), (2, 5, 16)])
def test_equals_the_reference(isa: str, rows: int, columns: int, steps: int) -> None:
    rng = np.random.default_rng(7)
    samples, flat, at = scene(rng, rows, columns, steps)
    exposure = rng.uniform(0.8, 1.2, steps)
    samples = single(samples * exposure[:, None, None, None])
    if columns > 5:
        samples[1, 0, 0, 3], samples[2, 1, 1, 4], flat[0, 0, 2, 5], samples[:, 1, 0, 6] = np.nan, -1.0, 3e9, 0.0
        samples[0, 0, 0, 0] *= 5  # no sinusoid
        flat[:, 0, 0, 1] = flat[:, 0, 0, 1].mean()  # no fringe
    sample = _stepping("", samples, at, PERIOD_UM, exposure)
    empty = _stepping("", flat, at, PERIOD_UM, 1.0)
    found = HostBackend(isa).retrieve_sinusoid(sample, empty, PERIOD_UM, 1.3, 1)
    designs = [reference.design(at, PERIOD_UM, e) for e in (exposure, np.ones(steps))]
    flat_counts = (a.reshape(steps, -1).astype(np.float64) for a in (samples, flat))
    first, second = flat_counts
    want = reference.retrieve_sinusoid(first, designs[0], second, designs[1], PERIOD_UM, 1.3)
    np.testing.assert_array_equal(found[2], want[2])
    fine = (want[2] & (Flag.SINGULAR | Flag.BAD_INPUT)) == 0
    assert (np.abs(found[0] - want[0])[:, fine] < 2e-3 * want[1][:, fine]).all()
    np.testing.assert_allclose(found[1][:, fine], want[1][:, fine], rtol=1e-4)
    bad = (want[2] & Flag.BAD_INPUT) != 0
    assert np.isnan(found[0][:, bad]).all()
    assert np.isnan(found[1][:, bad]).all()
    if columns > 5:
        flags = found[2].reshape(2, rows, columns)
        assert bad.sum() == 4
        assert flags[0, 0, 0] & Flag.NO_EXACT_ROOT
        assert flags[0, 0, 1] & Flag.SINGULAR


@given(
    t=st.floats(0.05, 1.5),
    shift=st.floats(-2.3, 2.3),
    ratio=st.floats(0.05, 1.3),
    start=st.floats(-50, 50),
    steps=st.integers(3, 12),
)
def test_the_truth_comes_back(t: float, shift: float, ratio: float, start: float, steps: int) -> None:
    """Whatever the sample, where the steps begin, and how many there are: the answer does not wrap below p/2."""
    at = start + PERIOD_UM * np.arange(steps) / steps
    one = np.ones((2, 1, 1))
    flat = single(fringes(at, 1e7 * one, 1.7 * one, 0.6 * one))
    seen = single(fringes(at, t * 1e7 * one, (1.7 + shift) * one, 0.6 * ratio * one))
    found = retrieve_sinusoid(seen, flat, at, PERIOD_UM)
    want = [t, shift, -(PERIOD_UM**2) / (2 * np.pi**2) * np.log(ratio), ratio]
    np.testing.assert_allclose(found.images[:, 0, 0, 0], want, rtol=1e-4, atol=1e-4)
    assert not found.flags.any()


def test_a_blurred_fringe_has_the_variance_of_the_blur() -> None:
    """τ² is the variance of a Gaussian that the fringe is convolved with."""
    tau = 0.5
    at = PERIOD_UM * np.arange(5) / 5
    kick = tau * np.linspace(-6, 6, 401)
    weight = np.exp(-((kick / tau) ** 2) / 2)
    one = np.ones((2, 1, 1))
    blurred = sum(
        w * fringes(at, 1e4 * one, k * one, 0.6 * one) for w, k in zip(weight / weight.sum(), kick, strict=True)
    )
    found = retrieve_sinusoid(single(blurred), single(fringes(at, 1e4 * one, 0 * one, 0.6 * one)), at, PERIOD_UM)
    np.testing.assert_allclose(found.images[2], tau**2, rtol=1e-4)


def test_sigma_is_the_spread() -> None:
    rng = np.random.default_rng(11)
    at = PERIOD_UM * np.arange(5) / 5
    shape = (2, 50, 200)
    one = np.ones(shape)
    flat = single(rng.poisson(fringes(at, 4e3 * one, 0.3 * one, 0.5 * one)))
    seen = single(rng.poisson(fringes(at, 2e3 * one, 0.8 * one, 0.3 * one)))
    found = retrieve_sinusoid(seen, flat, at, PERIOD_UM)
    truth = np.array([0.5, 0.5, -(PERIOD_UM**2) / (2 * np.pi**2) * np.log(0.6), 0.6])[:, None, None, None]
    pull = (found.images - truth) / found.sigma
    assert np.abs(pull.mean(axis=(1, 2, 3))).max() < 0.1
    np.testing.assert_allclose(pull.std(axis=(1, 2, 3)), 1.0, atol=0.03)
    assert ((np.abs(pull) < 1).mean(axis=(1, 2, 3)) > 0.66).all()


def test_without_a_reference_it_is_the_fit() -> None:
    at = PERIOD_UM * np.arange(4) / 4
    one = np.ones((2, 1, 1))
    found = retrieve_sinusoid(single(fringes(at, 900 * one, 0.7 * one, 0.4 * one)), None, at, PERIOD_UM)
    np.testing.assert_allclose(found.images[[0, 1, 3], 0, 0, 0], [900, 0.7, 0.4], rtol=1e-5)
    assert found.sigma[0, 0, 0, 0] == pytest.approx(15, rel=1e-3)  # √(900/4)


def test_threads_change_no_bit() -> None:
    samples, flat, at = scene(np.random.default_rng(3), 5, 333, 5)
    one, many = (retrieve_sinusoid(samples, flat, at, PERIOD_UM, threads=n) for n in (1, 3))
    np.testing.assert_array_equal(one.images, many.images)
    np.testing.assert_array_equal(one.sigma, many.sigma)
    assert one.backend == get("auto").name


AT = PERIOD_UM * np.arange(4) / 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.ones((4, 2, 1, 1))}, r"samples: dtype is float64"),
        ({"samples": np.ones((4, 3, 1, 1), dtype=np.float32)}, r"samples: shape is \(4, 3, 1, 1\)"),
        (
            {"samples": np.ones((2, 2, 1, 1), dtype=np.float32), "positions_um": [0, 1.0]},
            r"positions_um: is \[0.0, 1.0\]",
        ),
        ({"reference": np.ones((4, 2, 1, 2), dtype=np.float32)}, r"reference: shape is \(4, 2, 1, 2\)"),
        ({"positions_um": AT[:3]}, r"positions_um: is .* for 4 samples"),
        ({"positions_um": [0.0, 1.0, np.nan, 2.0]}, r"positions_um: is \[0.0, 1.0, nan, 2.0\]"),
        ({"positions_um": [0.0, PERIOD_UM, 1.0, 1.0]}, r"positions_um: .* do not tell mean, cosine and sine apart"),
        ({"reference_positions_um": [0.0, 1.0, 2.0]}, r"reference_positions_um: is"),
        ({"period_um": 0.0}, r"period_um: is 0.0"),
        ({"exposure": -1.0}, r"exposure: is -1.0"),
        ({"reference_exposure": np.ones(3)}, r"reference_exposure: is"),
        ({"variance_factor": 0.0}, r"variance_factor: is 0.0"),
        ({"threads": 0}, r"threads: is 0"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    ones = np.ones((4, 2, 1, 1), dtype=np.float32)
    arguments: dict[str, Any] = {"samples": ones, "reference": ones, "positions_um": AT, "period_um": PERIOD_UM}
    retrieve_sinusoid(**arguments)
    with pytest.raises(ValueError, match=message):
        retrieve_sinusoid(**(arguments | changes))
