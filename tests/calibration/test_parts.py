"""The steps of the calibration one by one: pixel mask, curves, working point, tray, tube output, bundle from arrays."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kernels
from calibration import curves as curve_step
from calibration import tray as tray_step
from calibration.air import output_scale
from calibration.build import build_bundle
from calibration.pixels import good_pixels, group_means, live_rows
from calibration.reference import reference_tray
from calibration.steps import CalibrationError, Limits
from calibration.tray import Plate, Region
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner
from tests.calibration.synthetic import AIR, EXPONENT, PRIOR, SCANNER, X0_UM, Sample, counts, pixels, true_curves

LIMITS = Limits()
RNG_SEED = 11


def test_dead_hot_stuck_and_flickering_pixels_are_found_and_no_others() -> None:
    rng = np.random.default_rng(RNG_SEED)
    mean = rng.poisson(pixels(X0_UM) * 400) / 400
    fano = rng.normal(1.0, 0.06, mean.shape)
    mean[:, 1, 10] = 0
    mean[:, 2, 20] = 300
    fano[0, 3, 30] = 0.0
    fano[1, 4, 40] = 9.0
    mean[0, 5, 50] *= 0.5
    good = good_pixels(mean.astype(np.float32), fano.astype(np.float32))
    bad = set(zip(*np.nonzero(good[0] == 0), strict=True))
    assert bad == {(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)}
    np.testing.assert_array_equal(good[0], good[1])


def test_a_row_without_pixels_takes_its_neighbours_curve_but_stays_masked() -> None:
    good = np.ones((2, SCANNER.rows, COLUMNS), np.uint8)
    good[:, 2, 1::GROUPS] = 0
    assert np.flatnonzero(~live_rows(good)).tolist() == [2]
    values = pixels(X0_UM).astype(np.float32)
    means = group_means(values, good)
    assert means.shape == (GROUPS, 2, SCANNER.rows)
    np.testing.assert_array_equal(means[..., 2], means[..., 1])
    np.testing.assert_allclose(means[..., 5], counts(X0_UM)[..., 5], rtol=0.03)
    with pytest.raises(ValueError, match="no row has enough good pixels"):
        group_means(values, np.zeros_like(good))


def test_working_point_table_is_singular_where_the_physics_says() -> None:
    bounds = curve_step.working_point_table(true_curves())[:, curve_step.DARK_FIELD]
    table = dict(zip(curve_step.TABLE_RANGE_UM.tolist(), bounds.tolist(), strict=True))
    assert table[5.0] > 10 * table[-5.0]
    # Symmetric about the centre of the four shifts, +5 µm.
    assert table[15.0] == pytest.approx(table[-5.0], rel=0.35)
    curve_step.check_working_point(true_curves(), -5.0, LIMITS)
    with pytest.raises(CalibrationError, match="singular"):
        curve_step.check_working_point(true_curves(), 5.0, LIMITS)


def test_bundle_from_arrays_needs_no_device() -> None:
    positions = np.linspace(-40, 40, 33)
    scan = np.stack([pixels(x) for x in positions]).astype(np.float32)
    flat = pixels(X0_UM).astype(np.float32)
    made = build_bundle(
        SCANNER, positions_um=positions, scan=scan, flat=flat, prior=PRIOR, working_point_um=X0_UM, created_ns=7
    )
    assert made.created_ns == 7
    np.testing.assert_allclose(made.curves.centre, true_curves().centre, atol=0.5)
    assert made.good_pixels.all()
    with pytest.raises(ValueError, match="do not fit"):
        build_bundle(SCANNER, positions_um=positions[1:], scan=scan, flat=flat, prior=PRIOR, working_point_um=X0_UM)


SAMPLES = [Sample((0.8, 0.85)), Sample((0.5, 0.62)), Sample((0.2, 0.45))]


def tray_samples(exposure: float, columns: int, samples: list[Sample]) -> tuple[np.ndarray, np.ndarray]:
    """Poisson samples of plates side by side along the belt, ``columns`` each."""
    rng = np.random.default_rng(RNG_SEED)
    parts = [np.repeat(counts(X0_UM, s)[..., None] * exposure, columns, axis=-1) for s in samples]
    drawn = rng.poisson(np.concatenate(parts, axis=-1)).astype(np.float32)
    return drawn, np.full(drawn.shape[-1], exposure, np.float32)


def test_plates_give_transmission_and_offset_within_their_own_sigma() -> None:
    samples, exposure = tray_samples(96.0, 200, SAMPLES)
    samples[2, 1, 3] = np.nan
    regions = [Region(f"plate {k}", 0, SCANNER.rows, 200 * k, 200 * (k + 1)) for k in range(len(SAMPLES))]
    plates = tray_step.measure(samples, exposure, true_curves(), X0_UM, regions)
    expected = np.asarray([s.t for s in SAMPLES]).T
    np.testing.assert_allclose(plates.t, expected, rtol=0.01)
    assert (np.abs(plates.t - expected) < 4 * plates.sd_t).all()
    assert (np.abs(plates.o - expected ** EXPONENT[:, None]) < 4 * plates.sd_o).all()
    assert (plates.chi2 < 1.6).all()
    assert tray_step.check(plates, LIMITS)["plates"] == 3
    noisy = dataclasses.replace(plates, sd_o=plates.sd_o + 1)
    with pytest.raises(CalibrationError, match="Raise the tube current"):
        tray_step.check(noisy, LIMITS)
    with pytest.raises(ValueError, match="no usable pixel"):
        tray_step.measure(samples * np.float32(np.nan), exposure, true_curves(), X0_UM, regions)


def test_air_is_no_plate() -> None:
    samples, exposure = tray_samples(96.0, 60, [AIR])
    plates = tray_step.measure(samples * np.float32(1.02), exposure, true_curves(), X0_UM, [Region("x", 0, 8, 0, 60)])
    with pytest.raises(CalibrationError, match="no plate of the reference tray does"):
        tray_step.check(plates, LIMITS)


def test_plates_that_are_not_those_of_the_drawing_give_no_prior() -> None:
    t = np.linspace(0.15, 0.9, 12) ** np.asarray([[1.0], [0.8]])
    o = t ** EXPONENT[:, None]
    sd = np.full_like(t, 2e-3)
    names = tuple(f"plate {k}" for k in range(12))
    fitted, values = tray_step.prior(tray_step.Plates(names, t, o, sd, sd, sd), LIMITS)
    np.testing.assert_allclose(kernels.predict_offset(fitted, t), o, atol=2e-3)
    assert np.sqrt(5 / 12) * 2e-3 <= values["sd"] < 2.5e-3
    shuffled = np.random.default_rng(RNG_SEED).permutation(o.T).T
    with pytest.raises(CalibrationError, match="do not match their layout"):
        tray_step.prior(tray_step.Plates(names, t, shuffled, sd, sd, sd), LIMITS)


@settings(max_examples=30, deadline=None)
@given(
    native_rows=st.sampled_from([16, 64, 128, 256, 512, 1024, 2048]),
    binning=st.sampled_from([1, 2, 4]),
    grid_um=st.sampled_from([75.0, 150.0, 300.0]),
    lead=st.floats(5, 60),
)
def test_every_plate_of_the_tray_lies_in_every_field(
    native_rows: int, binning: int, grid_um: float, lead: float
) -> None:
    scanner = Scanner.model_validate({"native_rows": native_rows, "row_binning": binning, "object_grid_um": grid_um})
    tray = reference_tray(scanner)
    for plate in tray.plates:
        found = tray_step.region(plate, lead, scanner)
        assert 0 <= found.row0 < found.row1 <= scanner.rows
        start_um, stop_um = ((column - lead) * grid_um for column in (found.column0, found.column1 - 1))
        assert plate.along_mm[0] * 1e3 < start_um <= stop_um < plate.along_mm[1] * 1e3
        assert plate.along_mm[1] <= tray.length_mm


def test_a_plate_outside_the_field_is_named() -> None:
    with pytest.raises(ValueError, match="tray region lead: nothing of"):
        tray_step.region(Plate("lead", (5.0, 10.0), (500.0, 510.0)), 20.0, SCANNER)


@pytest.mark.parametrize("scale", [(1.0, 1.0), (1.04, 0.97), (0.5, 2.0)])
def test_tube_output_passes_over_dead_rows_and_foreign_columns(scale: tuple[float, float]) -> None:
    samples, exposure = tray_samples(96.0, 14, [AIR])
    samples *= np.asarray(scale, np.float32)[:, None, None]
    samples[:, :, 2] = np.nan
    samples[..., :3] *= np.float32(0.3)
    found = output_scale(samples, exposure, counts(X0_UM).astype(np.float32))
    assert found == pytest.approx(scale, rel=0.01)
    with pytest.raises(ValueError, match="no counts in air"):
        output_scale(samples * 0, exposure, counts(X0_UM).astype(np.float32))
