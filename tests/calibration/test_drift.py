"""Drift from air: what the masks did is found again, and curves corrected for it give clean air."""

from __future__ import annotations

import numpy as np
import pytest

import kernels
from calibration.drift import DriftError, MaskDrift, corrected, measure
from kernels.types import F64, IlluminationCurves
from tests.calibration.synthetic import PRIOR, SCANNER, X0_UM, true_curves

ROWS, COLUMNS = SCANNER.rows, 24
HEIGHTS: F64 = np.linspace(-60.0, 60.0, ROWS)
EXPOSURE = 4000.0


def air(curves: IlluminationCurves, seed: int | None) -> kernels.Retrieval:
    """Air seen through masks that stand as ``curves`` say, retrieved with the calibrated ones."""
    mean = kernels.flat_model(curves, X0_UM, "full")[..., None] * np.float32(EXPOSURE) * np.ones(COLUMNS, np.float32)
    counts = mean if seed is None else np.random.default_rng(seed).poisson(mean).astype(np.float32)
    return kernels.retrieve(counts, true_curves(), X0_UM, exposure=EXPOSURE, prior=PRIOR)


MOVED = MaskDrift(2.5, 0.02, (3.0, 6.0), (0.02, 0.04))


def test_what_the_masks_did_is_found_again() -> None:
    found = measure(air(corrected(true_curves(), MOVED, HEIGHTS), 1), HEIGHTS)
    assert found.shift_um == pytest.approx(MOVED.shift_um, abs=0.05)
    assert found.rotation_mrad == pytest.approx(MOVED.rotation_mrad, abs=2e-3)
    for b in range(2):
        assert found.broadening_um2[b] == pytest.approx(MOVED.broadening_um2[b], abs=1.0)


def test_nothing_is_found_in_air_that_did_not_drift() -> None:
    found = measure(air(true_curves(), 2), HEIGHTS)
    assert abs(found.shift_um) < 5 * found.sd_shift_um
    for value, sd in zip(found.broadening_um2, found.sd_broadening_um2, strict=True):
        assert abs(value) < 5 * sd


def test_corrected_curves_make_drifted_air_clean() -> None:
    drifted = corrected(true_curves(), MOVED, HEIGHTS)
    mean = kernels.flat_model(drifted, X0_UM, "full")[..., None] * np.float32(EXPOSURE) * np.ones(4, np.float32)
    found = measure(air(drifted, None), HEIGHTS)
    again = kernels.retrieve(mean, corrected(true_curves(), found, HEIGHTS), X0_UM, exposure=EXPOSURE, prior=PRIOR)
    np.testing.assert_allclose(again.images[0], 1.0, atol=2e-3)
    np.testing.assert_allclose(again.images[1], 0.0, atol=0.02)
    np.testing.assert_allclose(again.images[2], 0.0, atol=0.5)


def test_a_strap_in_some_rows_and_flagged_pixels_do_not_count() -> None:
    clean = air(corrected(true_curves(), MOVED, HEIGHTS), 3)
    images, flags = clean.images.copy(), clean.flags.copy()
    images[1, :, 3] += 9.0
    flags[:, 5:9] = kernels.Flag.BAD_INPUT
    images[:, :, 5:9] = np.nan
    found = measure(kernels.Retrieval(images, clean.sigma, flags, ""), HEIGHTS)
    assert found.shift_um == pytest.approx(MOVED.shift_um, abs=0.1)


def test_air_without_pixels_is_refused() -> None:
    clean = air(true_curves(), 4)
    flags = np.full_like(clean.flags, kernels.Flag.BAD_INPUT)
    with pytest.raises(DriftError, match="0 % of the rows"):
        measure(kernels.Retrieval(clean.images, clean.sigma, flags, ""), HEIGHTS)
    with pytest.raises(ValueError, match="heights_mm"):
        measure(clean, HEIGHTS[:3])


def test_curves_never_become_too_narrow() -> None:
    narrow = corrected(true_curves(), MaskDrift(broadening_um2=(-1e4, -1e4)), HEIGHTS)
    np.testing.assert_allclose(narrow.width, 0.5 * true_curves().width)
