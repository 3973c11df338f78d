"""Stages move the masks, and the masks move the curves."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.emulator.alignment import Alignment, heights_mm
from firmware_bridge.emulator.forward import expected_counts
from firmware_bridge.emulator.render import air
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import Scanner

SCANNER = Scanner(native_rows=2048, row_binning=4)
STRAIGHT = EmulatorSettings(mask_segment_um=0.0, mask_drift_um=0.0)
RATIO = SCANNER.source_m2_m / SCANNER.source_m1_m


def of(**positions: float) -> Alignment:
    return Alignment.of(SCANNER, STRAIGHT, positions)


def test_both_masks_act_in_the_plane_of_the_first() -> None:
    assert of(m1_x=-5.0).x0_um == -5.0
    assert of(m2_x=13.0).x0_um == pytest.approx(-13.0 / RATIO)
    assert of(m1_x=10.0, m2_x=10.0 * RATIO).x0_um == pytest.approx(0.0)
    assert of(m1_rot_z=1.5, m2_rot_z=1.5) == of()
    assert of(m1_z=153.8, m2_z=200.0).mismatch == pytest.approx(0.0, abs=1e-12)


def test_a_number_is_the_place_of_the_first_mask() -> None:
    assert np.array_equal(air(SCANNER, STRAIGHT, -5.0), air(SCANNER, STRAIGHT, of(m1_x=-5.0)))


def test_rotation_about_the_beam_shifts_the_curves_row_by_row() -> None:
    turned = air(SCANNER, STRAIGHT, of(m1_x=-5.0, m1_rot_z=0.2))
    y = heights_mm(SCANNER)
    assert y[0] == pytest.approx(-76.65)
    for row in (0, 100, 256, 511):
        straight = air(SCANNER, STRAIGHT, -5.0 + 0.2 * y[row])
        assert turned[:, :, row] == pytest.approx(straight[:, :, row], rel=1e-4)
    assert np.array_equal(turned, air(SCANNER, STRAIGHT, of(m1_x=-5.0, m2_rot_z=-0.2)))


def test_a_start_misalignment_is_undone_by_the_stages() -> None:
    off = EmulatorSettings(
        misalignment_x_um=30.0, misalignment_z_um=100.0, misalignment_rot_z_mrad=-2.0, misalignment_rot_x_mrad=1.0
    )
    assert Alignment.of(SCANNER, off, {}) != Alignment()
    stages = {"m1_x": -30.0, "m1_z": -100.0, "m1_rot_z": 2.0, "m1_rot_x": -1.0}
    assert Alignment.of(SCANNER, off, stages) == Alignment()


def test_a_pitch_mismatch_widens_the_curve_as_the_mean_over_columns_does() -> None:
    # A mismatch as large as the stages allow; columns off by c p e, averaged one by one.
    masks = of(m1_x=-5.0, m1_z=500.0, m2_z=-500.0, m1_rot_x=1.0)
    wide = air(SCANNER, STRAIGHT, masks)
    row = 511
    e = masks.mismatch + masks.mismatch_per_mm * heights_mm(SCANNER)[row]
    columns = (np.arange(128) - 63.5) * SCANNER.m1_period_um * e
    assert columns.max() > 2.0
    mean = np.mean([air(SCANNER, STRAIGHT, -5.0 + shift)[:, :, row] for shift in columns], axis=0)
    narrow = air(SCANNER, STRAIGHT, -5.0)[:, :, row]
    assert wide[:, :, row] == pytest.approx(mean, rel=3e-4)
    assert abs(wide[:, :, row] / narrow - 1).max() > 2e-3


def test_a_widened_curve_leaves_the_images_as_they_were() -> None:
    images = np.zeros((1, 2, 4, SCANNER.rows), np.float32)
    images[:, :, (0, 3)] = 1.0
    before = images.copy()
    out = np.empty((2, 1, 4, SCANNER.rows), np.float32)
    expected_counts(SCANNER, STRAIGHT, images, of(m1_z=400.0), out)
    assert np.array_equal(images, before)


def test_distance_bounds_what_any_curve_moves() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        one, two = (Alignment(*rng.normal(0, (10, 1, 1e-4, 1e-6))) for _ in range(2))
        moved = np.abs(one.centres_um(SCANNER) - two.centres_um(SCANNER)).max()
        assert moved <= one.distance_um(two, SCANNER) + 1e-9
