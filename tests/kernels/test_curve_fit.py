"""Equation (1): curves come back from a mask scan, and the compiled fit equals the float64 one."""

from __future__ import annotations

import numpy as np
import pytest

from kernels import fit_curves, flat_model, retrieve
from kernels.reference import curve_fit as reference
from kernels.reference.model import flat_model as flat_model_float64
from kernels.types import F32, Model
from tests.kernels import scene

POSITIONS_UM = np.arange(-75.0, 75.1, 3.0)


def scan(rows: int, model: Model, seed: int) -> F32:
    scanner = scene.curves(rows, seed)
    return scene.single(np.stack([flat_model_float64(scanner, x, model) for x in POSITIONS_UM]))


@pytest.mark.parametrize("rows", [1, 19])
@pytest.mark.parametrize("model", ["full", "paper"])
def test_noiseless_scan_gives_back_its_curves(model: Model, rows: int) -> None:
    truth = scene.curves(rows, 6)
    found, residual = fit_curves(POSITIONS_UM, scan(rows, model, 6), model=model, threads=2)
    assert residual.max() < 1e-6
    np.testing.assert_allclose(found.area, truth.area, rtol=1e-5)
    np.testing.assert_allclose(found.centre, truth.centre, atol=1e-4)
    np.testing.assert_allclose(found.width, truth.width, rtol=1e-5)
    np.testing.assert_allclose(found.floor, truth.floor, rtol=1e-4)


@pytest.mark.parametrize("model", ["full", "paper"])
def test_noisy_scan_equals_the_reference(model: Model) -> None:
    rng = np.random.default_rng(4)
    flats = (rng.poisson(scan(5, model, 6) * 1e3) / 1e3).astype(np.float32, order="C")
    found, residual = fit_curves(POSITIONS_UM, flats, model=model)
    for b in range(2):
        for row in range(5):
            want, rms = reference.fit(POSITIONS_UM, flats[:, :, b, row].astype(np.float64), model)
            got = [*found.area[b, row], *found.centre[b, row], *found.width[b, row], found.floor[b, row]]
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)
            assert residual[b, row] == pytest.approx(rms, rel=1e-3)


def test_counts_scale() -> None:
    flats = scan(2, "full", 6)
    one, _ = fit_curves(POSITIONS_UM, flats)
    scaled, _ = fit_curves(POSITIONS_UM, flats * np.float32(64), counts_scale=1 / 64)
    np.testing.assert_allclose(scaled.area, one.area, rtol=1e-5)
    np.testing.assert_allclose(scaled.floor, one.floor, rtol=1e-4)


def test_dead_rows_are_nan_and_refused_later() -> None:
    flats = scan(3, "full", 6)
    flats[:, :, :, 1] = 0.0
    flats[3, 2, 0, 2] = np.nan
    found, residual = fit_curves(POSITIONS_UM, flats)
    assert np.isnan(residual[:, 1]).all()
    assert np.isnan(residual[0, 2])
    assert np.isfinite(residual[1, 2])
    assert np.isfinite(found.area[:, 0]).all()
    samples = np.ones((4, 2, 3, 4), dtype=np.float32)
    with pytest.raises(ValueError, match=r"curves.area: value at \(0, 1, 0\) is nan"):
        retrieve(samples, found, scene.X0_UM, model="full")


def test_flat_model_is_the_scan() -> None:
    flats = scan(3, "full", 6)
    at = 20
    np.testing.assert_allclose(flat_model(scene.curves(3, 6), float(POSITIONS_UM[at])), flats[at], rtol=1e-6)


def test_errors_name_the_argument() -> None:
    flats = scan(2, "full", 6)
    with pytest.raises(ValueError, match="positions_um"):
        fit_curves(POSITIONS_UM[:3], flats[:3])
    with pytest.raises(ValueError, match=r"flats: shape"):
        fit_curves(POSITIONS_UM[:-1], flats)
    with pytest.raises(ValueError, match="model: is 'new'"):
        fit_curves(POSITIONS_UM, flats, model="new")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="counts_scale"):
        fit_curves(POSITIONS_UM, flats, counts_scale=0.0)
