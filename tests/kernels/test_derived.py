"""Ratios, prior, normalisation and bounds."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import cramer_rao, fit_prior, flat_model, normalise, predict_offset, ratios
from kernels.reference import prior as prior_reference
from kernels.reference import ratios as ratios_reference
from tests.kernels import scene


@pytest.mark.parametrize("shape", [(0,), (1,), (3, 77)])
def test_ratios_equal_the_reference(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    images = rng.normal(0.7, 0.4, (4, 2, *shape)).astype(np.float32)
    images[2] *= 100
    images[0, 0, ..., :1] = np.nan
    sigma = np.full(images.shape, 0.05, dtype=np.float32)
    sigma[2] = 20
    found = ratios(images, sigma)
    want, want_sigma = ratios_reference.ratios(images.astype(np.float64), sigma.astype(np.float64))
    pairs = [found.r_df, found.r_ab, found.r_of]
    for k in (0, 1):
        got = [found.attenuation[k], *(p[k][None] for p in pairs), found.dark_field_per_attenuation[k]]
        np.testing.assert_allclose(np.concatenate(got), (want, want_sigma)[k], rtol=2e-6)


def test_ratio_sigma_is_the_spread() -> None:
    rng = np.random.default_rng(3)
    truth = np.array([[0.5, 0.7], [0.0, 0.0], [200.0, 40.0], [0.45, 0.7]])[..., None]
    sigma = np.array([[0.005, 0.004], [0.1, 0.1], [5.0, 2.0], [0.004, 0.003]])[..., None]
    images = (truth + sigma * rng.standard_normal((4, 2, 20000))).astype(np.float32)
    found = ratios(images, np.broadcast_to(sigma, images.shape).astype(np.float32, order="C"))
    for value, spread in (found.r_df, found.r_ab, found.r_of):
        assert np.isfinite(value).all()
        assert value.std() == pytest.approx(spread.mean(), rel=0.05)
    assert found.r_df[0].mean() == pytest.approx(5.0, rel=0.01)


def test_insignificant_denominators_are_masked() -> None:
    images = np.zeros((4, 2, 1), dtype=np.float32)
    images[0] = images[3] = 1.0  # air: no attenuation, no dark-field
    found = ratios(images, np.full_like(images, 0.1))
    assert np.isnan(found.r_df[0]).all()
    assert np.isnan(found.dark_field_per_attenuation[0]).all()
    assert found.attenuation[0] == pytest.approx(0.0)


def test_prior_is_found_again() -> None:
    rng = np.random.default_rng(5)
    low = rng.uniform(0.2, 1.0, 150)
    t = np.stack([low, low ** rng.uniform(0.45, 0.75, 150)])
    truth, _ = prior_reference.predict(scene.PRIOR, t)
    scatter = 2e-3 * rng.standard_normal(t.shape)
    noise = 1e-3 * rng.standard_normal(t.shape)
    found = fit_prior(t, truth + scatter + noise, np.full(t.shape, 1e-3))
    np.testing.assert_allclose(predict_offset(found, t), truth, atol=2e-3)
    np.testing.assert_allclose(found.sd, 2e-3, rtol=0.3)


def test_prior_leaves_out_what_is_not_measured() -> None:
    t = np.tile(np.linspace(0.3, 0.9, 12), (2, 1))
    o, sd = t**1.2, np.full(t.shape, 1e-3)
    o[0, 3] = np.nan
    t[1, 5] = 0.0
    assert np.isfinite(fit_prior(t, o, sd).coefficients).all()
    with pytest.raises(ValueError, match="4 usable points, expected at least 5"):
        fit_prior(t[:, :6], o[:, :6], sd[:, :6])
    with pytest.raises(ValueError, match="shapes"):
        fit_prior(t[0], o, sd)


def test_prediction_is_flat_outside_its_limits() -> None:
    """A noisy t ≤ 0 must not make the prior explode."""
    o = predict_offset(scene.PRIOR, np.array([[-0.5, 0.0, 1e-9], [-0.5, 0.0, 1e-9]], dtype=np.float32))
    assert np.isfinite(o).all()
    assert np.ptp(o, axis=1) == pytest.approx(0.0)
    assert predict_offset(scene.PRIOR, np.ones((2, 4))) == pytest.approx(1.0)


def test_normalise_undoes_the_gains_of_columns() -> None:
    """With a flat that differs from pixel to pixel and some pixels dead, air comes out as the model has it."""
    rng = np.random.default_rng(6)
    rows, n = 3, 9
    model = flat_model(scene.curves(rows), scene.X0_UM)
    flat = scene.single(model[np.arange(128) % 4].transpose(1, 2, 0) * rng.uniform(0.7, 1.3, (2, rows, 128)))
    good = (rng.random((2, rows, 128)) > 0.1).astype(np.uint8)
    weights = rng.uniform(0.5, 3.0, (128, n)).astype(np.float32)
    seen = flat * good
    sums = np.stack([seen[..., g::4] @ weights[g::4] for g in range(4)]).astype(np.float32)
    samples, exposure, factor = normalise(sums, weights, scene.single(weights**2 / 2), flat, good, model)
    np.testing.assert_allclose(samples, model[..., None] * exposure, rtol=1e-4)
    np.testing.assert_allclose(exposure, weights.sum(0) / 4, rtol=1e-5)
    np.testing.assert_allclose(factor, (weights**2 / 2).sum(0) / weights.sum(0), rtol=1e-5)


def test_normalise_has_no_answer_where_nothing_was_seen() -> None:
    model = flat_model(scene.curves(2), scene.X0_UM)
    flat = np.ascontiguousarray(model[np.arange(128) % 4].transpose(1, 2, 0))
    good = np.ones((2, 2, 128), dtype=np.uint8)
    good[0, 1, 2::4] = 0
    weights = np.ones((128, 3), dtype=np.float32)
    weights[:, 2] = 0
    samples, exposure, factor = normalise(np.ones((4, 2, 2, 3), dtype=np.float32), weights, weights, flat, good, model)
    assert np.isnan(samples[2, 0, 1]).all()
    assert np.isnan(samples[..., 2]).all()
    assert np.isfinite(samples[:, 1, :, :2]).all()
    assert (exposure > 0).all()
    assert (factor > 0).all()


def test_bounds_match_the_table_of_the_design() -> None:
    """The working points' table for one common floor; it was computed with a curve of the same width."""
    table = {
        -10.0: (0.053, 0.54, 13.3, 0.08, 0.025, 0.42, 6.9),
        -5.0: (0.054, 0.25, 12.4, 0.15, 0.014, 0.23, 4.9),
        0.0: (0.104, 0.16, 17.1, 0.38, 0.010, 0.14, 4.0),
        15.0: (0.054, 0.25, 12.3, 0.15, 0.014, 0.23, 4.9),
    }
    scanner = scene.curves(1, floor=(0.11, 0.11))
    for x_um, want in table.items():
        free = cramer_rao(scanner, x_um, 1e4, "full")
        tied = cramer_rao(scanner, x_um, 1e4, "map")
        names = ("transmission", "refraction", "dark_field")
        got = [free[k][0] for k in (*names, "offset")] + [tied[k][0] for k in names]
        assert got == pytest.approx(want, rel=0.25), x_um


def test_bounds_of_a_singular_working_point() -> None:
    good = cramer_rao(scene.curves(1), -5.0, 1e4, "full")["dark_field"]
    bad = cramer_rao(scene.curves(1), 5.0, 1e4, "full")["dark_field"]
    assert (bad > 50 * good).all()
    with pytest.raises(ValueError, match="row: is 3"):
        cramer_rao(scene.curves(1), -5.0, 1e4, row=3)
