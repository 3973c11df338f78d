"""What the retrieval returns for known pixels: exact without noise, unbiased and at the Cramér-Rao bound with it."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import Flag, OffsetPrior, retrieve
from kernels.reference import retrieval as reference
from kernels.types import F64, INFORMATIVE, Model
from tests.kernels import scene

#: Sizes that relative errors are taken of: t, Δ µm, τ² µm², o.
SCALE = np.array([0.1, 1.0, 30.0, 0.1]).reshape(4, 1, 1, 1)
PLAIN = ~np.uint16(INFORMATIVE)


@pytest.mark.parametrize("model", ["full", "map"])
@pytest.mark.parametrize("x_um", [-10.0, -5.0, 15.0])
def test_noiseless_pixels_are_returned(model: Model, x_um: float) -> None:
    rng = np.random.default_rng(1)
    scanner = scene.curves(8, seed=3)
    truth = scene.random_truth(rng, 8, 400)
    frames = 1e3 if model == "map" else 1e4  # o free is singular for most of this scene at 1e4 counts, and says so
    samples = scene.single(scene.expected(scanner, truth, frames, model, x_um))
    result = retrieve(samples, scanner, x_um, exposure=frames, model=model, prior=scene.PRIOR, unbiased=False)
    good = (result.flags & PLAIN) == 0
    error = np.abs(result.images - truth) / np.maximum(np.abs(truth), SCALE)
    if model == "map":
        assert good.all()
        assert error.max() < 1e-4
        return
    assert good.mean() > 0.6
    assert np.quantile(error[:, good], 0.999) < 5e-5
    assert error[:, good].max() < 1e-4  # rounding of the samples to float32; no other root


@pytest.mark.parametrize("model", ["full", "map"])
def test_only_what_is_skewed_is_moved_for_its_bias(model: Model) -> None:
    """And that is nothing at high counts: the bias falls as 1/N, σ as 1/√N."""
    rng = np.random.default_rng(1)
    scanner = scene.curves(4, seed=3)
    truth = scene.random_truth(rng, 4, 400)
    for frames in (1e3, 1e5, 1e8):
        samples = scene.single(scene.expected(scanner, truth, frames, model))
        kept, plain = (
            retrieve(samples, scanner, scene.X0_UM, exposure=frames, model=model, prior=scene.PRIOR, unbiased=choice)
            for choice in (True, False)
        )
        np.testing.assert_array_equal(kept.sigma, plain.sigma)
        assert (plain.flags | Flag.SKEWED == kept.flags | Flag.SKEWED).all()
        alike = (kept.flags & Flag.SKEWED) == 0
        if model == "map":  # the prior hands it on from bin to bin
            alike[:] = alike.all(axis=0)
        np.testing.assert_array_equal(kept.images[:, alike], plain.images[:, alike])
        assert alike.mean() > {1e3: -1.0, 1e5: 0.5 if model == "full" else 0.99, 1e8: 0.99}[frames]


def test_paper_model_returns_what_it_was_made_of() -> None:
    rng = np.random.default_rng(1)
    scanner = scene.curves(4)
    truth = scene.random_truth(rng, 4, 300, dark_field=300.0)
    samples = scene.single(scene.expected(scanner, truth, 1e6, "paper"))
    result = retrieve(samples, scanner, scene.X0_UM, exposure=1e6, model="paper", unbiased=False)
    good = (result.flags & PLAIN) == 0
    assert good.mean() > 0.95
    error = (np.abs(result.images - truth) / np.maximum(np.abs(truth), SCALE))[:, good]
    assert np.quantile(error, 0.999) < 2e-4


def test_a_sharp_prior_is_the_fit_of_three_unknowns() -> None:
    scanner = scene.curves(2)
    truth = scene.uniform_truth("typical", 2, 50)
    samples = scene.single(np.random.default_rng(0).poisson(scene.expected(scanner, truth, 1e3, "full")))
    sharp = OffsetPrior(scene.PRIOR.coefficients, np.zeros(2))
    result = retrieve(samples, scanner, scene.X0_UM, exposure=1e3, prior=sharp)
    from kernels import predict_offset

    np.testing.assert_allclose(result.images[3], predict_offset(sharp, result.images[0]), atol=1e-4)
    assert ((result.flags & PLAIN) == 0).all()


def monte_carlo(name: str, model: Model, counts: float) -> tuple[F64, F64, F64, F64, F64]:
    """Mean and deviation of (estimate − truth)/bound, coverage, part of pixels flagged (2,), and the bound (4, 2)."""
    rows, columns = 8, 2500
    scanner = scene.curves(rows)
    truth = scene.uniform_truth(name, rows, columns)
    gain = counts / np.mean(scene.PEAK)
    mean = scene.expected(scanner, truth, gain, "full")
    rng = np.random.default_rng(5)
    noisy = truth.copy()
    if model == "map":  # the prior is a distribution: its pixels scatter about it
        noisy[3] += scene.PRIOR.sd[:, None, None] * rng.standard_normal(truth[3].shape)
        mean = scene.expected(scanner, noisy, gain, "full")
    result = retrieve(
        scene.single(rng.poisson(mean)), scanner, scene.X0_UM, exposure=gain, model=model, prior=scene.PRIOR
    )
    one = (slice(None), slice(None), slice(0, 1), slice(0, 1))
    exact = scene.expected(scanner, truth, gain, "full")[one]
    row = scene.curves(1)
    gains, ones = np.array([gain]), np.ones(1)
    _, bound, _ = reference.retrieve(exact, row, scene.X0_UM, gains, ones, model, scene.PRIOR, corrected=False)
    error = result.images - noisy
    scaled = error / bound
    inside = np.abs(error) < result.sigma
    flagged = ((result.flags & PLAIN) != 0).mean(axis=(1, 2))
    axes = (2, 3)
    return scaled.mean(axis=axes), scaled.std(axis=axes), inside.mean(axis=axes), flagged, bound[..., 0, 0]


@pytest.mark.parametrize("counts", [1e4, 1e5])
@pytest.mark.parametrize("name", scene.SCENES)
def test_map_is_unbiased_and_efficient(name: str, counts: float) -> None:
    bias, spread, coverage, flagged, _ = monte_carlo(name, "map", counts)
    assert np.abs(bias).max() < 0.1
    assert np.abs(spread - 1).max() < 0.1
    # σ is 1.15 standard deviations, which cover 0.75, and the longer side of a skewed interval.
    assert ((coverage > 0.735) & (coverage < 0.87)).all()
    assert flagged.max() < 1e-3


@pytest.mark.parametrize(("name", "counts"), [("air", 1e5), ("typical", 1e5), ("strong dark-field", 1e6)])
def test_full_is_unbiased_and_efficient_where_it_is_regular(name: str, counts: float) -> None:
    """With o free the bound applies where σ(o) is well inside the range of o: in the bin with the higher floor."""
    bias, spread, coverage, flagged, bound = monte_carlo(name, "full", counts)
    regular = bound[3] < 0.1
    assert regular.any()
    assert np.abs(bias[:, regular]).max() < 0.1
    assert np.abs(spread[:, regular] - 1).max() < 0.1
    assert ((coverage[:, regular] > 0.66) & (coverage[:, regular] < 0.70)).all()
    assert flagged[regular].max() < 1e-3


@pytest.mark.parametrize("model", ["full", "map"])
def test_exposure_and_variance_factor(model: Model) -> None:
    """Twice the counts at twice the exposure are the same pixel with σ less by √2; so does half the variance factor."""
    scanner = scene.curves(2)
    base = scene.single(scene.expected(scanner, scene.uniform_truth("typical", 2, 20), 1e5, "full"))
    sharp = OffsetPrior(scene.PRIOR.coefficients, np.zeros(2))
    one = retrieve(base, scanner, scene.X0_UM, exposure=1e5, model=model, prior=sharp)
    more = retrieve(2 * base, scanner, scene.X0_UM, exposure=2e5, model=model, prior=sharp)
    quiet = retrieve(base, scanner, scene.X0_UM, exposure=1e5, variance_factor=0.5, model=model, prior=sharp)
    for other in (more, quiet):
        np.testing.assert_allclose(other.images, one.images, rtol=2e-4, atol=2e-4)
        np.testing.assert_allclose(other.sigma[:3] * np.sqrt(2), one.sigma[:3], rtol=1e-3)
