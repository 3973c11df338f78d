"""Frames: statistics of the counts, geometry of the scan, imperfections of the detector."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.emulator import _native
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.render import FrameRenderer, PreparedScene, air, pixel_gains, prepare
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import COLUMNS, Scanner

F64 = npt.NDArray[np.float64]
SCANNER = Scanner(native_rows=64, row_binning=4, tube_ma=2.0)
PERFECT = EmulatorSettings(dead_pixels=0.0, hot_pixels=0.0, gain_spread=0.0)
X0 = -5.0


def scene_of(expected: F64, du_um: float = 75.0) -> PreparedScene:
    return PreparedScene((expected.shape[1] - 1) * du_um, 0.0, du_um, np.ascontiguousarray(expected, np.float32), {})


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 300.0), st.integers(0, 2**60))
def test_counts_are_poisson(mean: float, seed: int) -> None:
    n = 200_000
    out = np.empty(n, np.uint16)
    mean = float(np.float32(mean))
    _native.poisson_fill(np.full(n, mean, np.float32), seed, out)
    counts = out.astype(np.float64)
    assert abs(counts.mean() - mean) <= 5.5 * np.sqrt(mean / n) + 1e-12
    assert abs(counts.var() - mean) <= 5.5 * np.sqrt((mean + 2.0 * mean**2) / n) + 1e-12


@pytest.mark.parametrize("mean", [0.04, 0.97, 3.6, 14.1, 63.98, 200.3, 4000.2])
def test_distribution_is_poisson_not_only_its_moments(mean: float) -> None:
    n = 1_000_000
    out = np.empty(n, np.uint16)
    mean = float(np.float32(mean))
    _native.poisson_fill(np.full(n, mean, np.float32), 11, out)
    k = np.arange(int(out.max()) + 1)
    from scipy.stats import poisson

    expected = n * poisson.pmf(k, mean)
    enough = expected > 25
    chi2 = np.sum((np.bincount(out)[enough] - expected[enough]) ** 2 / expected[enough])
    freedom = enough.sum() - 1
    assert chi2 < freedom + 5.0 * np.sqrt(2.0 * freedom)


def test_degenerate_means_count_nothing_or_saturate() -> None:
    out = np.empty(4, np.uint16)
    _native.poisson_fill(np.array([0.0, -1.0, np.nan, 1e9], np.float32), 1, out)
    assert list(out[:3]) == [0, 0, 0]
    assert out[3] > 64_000


def test_air_frames_have_the_mean_of_air() -> None:
    renderer = FrameRenderer(SCANNER, PERFECT, X0)
    frames = np.stack([renderer.frame(0.0, SCANNER.step_um) for _ in range(300)]).astype(np.float64)
    mean = np.repeat(np.moveaxis(air(SCANNER, PERFECT, X0), 1, 2)[:, :, None, :], COLUMNS // 4, axis=2)
    mean = mean.reshape(2, SCANNER.rows, COLUMNS)
    z = (frames.mean(axis=0) - mean) / np.sqrt(mean / 300)
    assert abs(z.mean()) < 0.08
    assert 0.9 < z.std() < 1.1
    assert (frames.var(axis=0) / mean).mean() == pytest.approx(1.0, abs=0.02)


@settings(max_examples=20, deadline=None)
@given(st.floats(-2000.0, 12_000.0), st.floats(0.0, 700.0))
def test_exposure_is_the_mean_over_what_passes_each_column(start: float, travel: float) -> None:
    """Against NumPy: the integral of the linear interpolant, air outside the scene."""
    rng = np.random.default_rng(1)
    expected = rng.uniform(500.0, 1500.0, (2, 60, 4, SCANNER.rows)) * 40
    outside = air(SCANNER, PERFECT, X0)
    expected[:, (0, -1)] = outside[:, None]
    renderer = FrameRenderer(SCANNER, PERFECT, X0)
    out = renderer.frame(start, start + travel, [(700.0, scene_of(expected))])
    for column in (0, 5, 64, 127):
        offset = SCANNER.column_offsets_um()[column]
        u = np.linspace(start - offset, start + travel - offset, 4001)
        nodes = (u - 700.0) / 75.0
        whole = np.clip(np.floor(nodes).astype(int), 0, 58)
        part = np.clip(nodes - whole, 0.0, 1.0)[:, None]
        lines = expected[:, :, column % 4]
        mean = np.stack([np.mean(lines[b, whole] * (1 - part) + lines[b, whole + 1] * part, axis=0) for b in range(2)])
        assert np.all(np.abs(out[:, :, column] - mean) < 7.0 * np.sqrt(mean) + 0.01 * mean + 3.0)


def scan(scanner: Scanner, scene: PreparedScene, step_um: float, first: float, last: float) -> F64:
    """Phase sums of one window of the belt over air, per bin, group and row: box-weighted, normalised by exposure."""
    renderer = FrameRenderer(scanner, PERFECT, X0)
    offsets = np.asarray(scanner.column_offsets_um())
    total, weight = np.zeros((2, 4, scanner.rows)), np.zeros(4)
    for travel in np.arange(first - step_um, last + offsets[-1] + step_um, step_um):
        counts = renderer.frame(travel - step_um / 2, travel + step_um / 2, [(0.0, scene)]).astype(np.float64)
        seen = (travel - offsets >= first) & (travel - offsets < last)
        for group in range(4):
            columns = np.flatnonzero(seen & (np.arange(COLUMNS) % 4 == group))
            total[:, group] += counts[:, :, columns].sum(axis=2)
            weight[group] += columns.size
    return total / weight[None, :, None]


@pytest.mark.parametrize("step_um", [60.0, 98.3, 150.0])
def test_scanned_equals_static_at_any_speed(step_um: float) -> None:
    item = PlanItem(kind="reference", seed=3, target="C4", thicknesses_mm=(10.0,))
    scene = prepare(SCANNER, PERFECT, item, X0)
    middle = scene.length_um / 2
    inside = slice(int((middle - 600.0 - scene.u0_um) / scene.du_um), int((middle + 600.0 - scene.u0_um) / scene.du_um))
    static = scene.expected[:, inside].mean(axis=1)
    scanned = scan(SCANNER, scene, step_um, middle - 600.0, middle + 600.0)
    frames = 32 * 1200.0 / step_um
    z = (scanned - static) / np.sqrt(static / frames)
    assert abs(z.mean()) < 5.0 / np.sqrt(z.size)
    assert z.std() < 1.25  # noise, and the grains' texture of the window's ends


def test_columns_cross_the_object_at_their_own_offsets() -> None:
    """An opaque edge arrives at column c later by m (c p + d_g)."""
    expected = np.full((2, 400, 4, SCANNER.rows), 400.0)
    expected[:, 200:] = 0.0
    bright = EmulatorSettings(dead_pixels=0.0, hot_pixels=0.0, gain_spread=0.0, plane_offset_mm=0.0)
    renderer = FrameRenderer(SCANNER, bright, X0)
    offsets = np.asarray(SCANNER.column_offsets_um())
    travels = np.arange(14_000.0, 26_000.0, 20.0)
    levels = np.stack([renderer.frame(s, s, [(0.0, scene_of(expected))])[0].mean(axis=0) for s in travels])
    inside = (travels[:, None] - offsets > 0) & (travels[:, None] - offsets < 399 * 75.0)
    for column in (0, 1, 2, 3, 66, 127):
        seen = travels[inside[:, column]]
        crossing = seen[np.argmin(np.abs(levels[inside[:, column], column] - 200.0))]
        assert crossing - offsets[column] == pytest.approx(199.5 * 75.0, abs=25.0)


def test_dead_hot_and_uneven_pixels() -> None:
    flawed = EmulatorSettings(dead_pixels=0.05, hot_pixels=0.02, hot_counts=900.0, gain_spread=0.05)
    gain, hot = pixel_gains(SCANNER, flawed)
    renderer = FrameRenderer(SCANNER, flawed, X0)
    frames = np.stack([renderer.frame(0.0, 98.0) for _ in range(60)])
    assert np.all(frames[:, gain == 0.0] == 0)
    assert 0.02 < np.mean(gain == 0.0) < 0.08
    assert frames.reshape(60, -1)[:, hot].mean() == pytest.approx(900.0, rel=0.02)
    live = gain[gain > 0]
    assert live.std() == pytest.approx(0.056, rel=0.25)


def test_same_seed_same_counts_and_scale_scales() -> None:
    one = FrameRenderer(SCANNER, PERFECT, X0, seed=9)
    two = FrameRenderer(SCANNER, PERFECT, X0, seed=9)
    other = FrameRenderer(SCANNER, PERFECT, X0, seed=10)
    first = one.frame(0.0, 98.0)
    assert np.array_equal(first, two.frame(0.0, 98.0))
    assert not np.array_equal(first, other.frame(0.0, 98.0))
    assert not np.array_equal(first, one.frame(0.0, 98.0))
    dim = one.frame(0.0, 98.0, scale=0.5)
    assert dim.mean() == pytest.approx(0.5 * first.mean(), rel=0.05)


def test_moving_the_mask_moves_the_curves() -> None:
    here, there = air(SCANNER, PERFECT, X0), air(SCANNER, PERFECT, X0 + 10.0)
    assert not np.allclose(here, there, rtol=0.05)
    assert air(SCANNER, PERFECT, X0 + 300.0) == pytest.approx(here, rel=1e-4)
    renderer = FrameRenderer(SCANNER, PERFECT, X0)
    renderer.set_mask(X0 + 10.0)
    mean = renderer.frame(0.0, 98.0).reshape(2, SCANNER.rows, -1, 4).mean(axis=(1, 2))
    assert mean == pytest.approx(there.mean(axis=2), rel=0.1)


def test_shapes_are_checked_before_anything_is_read() -> None:
    renderer = FrameRenderer(SCANNER, PERFECT, X0)
    with pytest.raises(ValueError, match="segment"):
        renderer.frame(0.0, 98.0, [(0.0, scene_of(np.zeros((2, 5, 4, SCANNER.rows + 1))))])
    with pytest.raises(ValueError, match="out"):
        renderer.frame(0.0, 98.0, out=np.empty((2, 3, COLUMNS), np.uint16))
