"""Static, stepped acquisitions, and masks of three ways, through the same fit and the same retrieval."""

from __future__ import annotations

import numpy as np
import pytest

import kernels
from calibration import stepped
from firmware_bridge.emulator import optics
from firmware_bridge.scanner import Scanner
from kernels.types import F32, F64, IlluminationCurves
from tests.calibration.synthetic import EXPONENT, PRIOR, X0_UM

PITCH = 75.0
ROWS, COLUMNS, FRAMES = 3, 24, 400.0
SHIFTS = {3: (-12.0, 0.0, 12.0), 4: (-10.0, 0.0, 10.0, 20.0)}
#: Places of the mask: in none of them does a group look at a neighbour that stands nearer than its pitch.
PLACES = np.array([-15.0, -5.0, 5.0, 15.0])
SCAN = np.linspace(-25.0, 25.0, 27)
T, DARK = np.array([0.7, 0.78]), np.array([25.0, 6.0])


def curve(ways: int, x_um: F64, dark: float) -> F64:
    """The real curve of the reference scanner, no Gaussian, for a mask of so many ways; ``x_um`` on its axis."""
    total = np.zeros(np.shape(x_um))
    for image in (-1, 0, 1):
        for g, shift in enumerate(SHIFTS[ways]):
            centre = PITCH * g + shift + image * ways * PITCH
            total = total + optics.aperture_curve(Scanner(), x_um - centre, dark)
    return np.asarray(total / optics.aperture_curve(Scanner(), np.zeros(1))[0])


def counts(ways: int, x_um: F64, sample: bool) -> F32:
    """Mean counts per frame and pixel of every group at the places ``x_um``: (N, groups, 2, rows)."""
    out = np.empty((len(x_um), ways, 2, ROWS))
    bent = np.array([-1.0, 0.0, 1.0])
    for b, (peak, floor) in enumerate(((20.0, 1.0), (14.0, 6.0))):
        t, dark = (float(T[b]), float(DARK[b])) if sample else (1.0, 0.0)
        for g in range(ways):
            at = np.asarray(x_um)[:, None] + PITCH * g - bent[None, :]
            out[:, g, b] = peak * t * curve(ways, at, dark) + floor * t ** EXPONENT[b]
    return out.astype(np.float32)


def columns_of(counted: F32, ways: int) -> F32:
    """(N, 2, rows, columns) from (N, groups, 2, rows)."""
    return np.ascontiguousarray(np.moveaxis(counted[:, np.arange(COLUMNS) % ways], 1, -1))


def fitted(ways: int) -> IlluminationCurves:
    curves, residual = stepped.fit_ways(SCAN, counts(ways, SCAN, sample=False))
    assert np.nanmax(residual) < 0.015
    return curves


def still(ways: int, noise: np.random.Generator | None = None, places: F64 = PLACES) -> kernels.Retrieval:
    """Every detector column a pixel, the mask at each of ``places``."""
    sample, flat = (columns_of(counts(ways, places, sample=s), ways) for s in (True, False))
    if noise is not None:
        sample = (noise.poisson(sample * FRAMES) / FRAMES).astype(np.float32)
    curves = stepped.of_columns(fitted(ways), np.arange(COLUMNS), PITCH)
    return stepped.retrieve(sample, flat, curves, places, frames=FRAMES, prior=PRIOR, pitch_um=PITCH)


def moving(ways: int, x0_um: float) -> kernels.Retrieval:
    """The groups pass a pixel one after the other: as many samples as ways, one column."""
    curves = fitted(ways)
    at = x0_um + PITCH * np.arange(ways)
    sample, flat = (counts(ways, np.array([x0_um]), sample=s)[0][..., None] for s in (True, False))
    own = np.stack([stepped.modelled(stepped.of_columns(curves, np.array([g]), PITCH), np.array([x0_um]), PITCH)[0]
                    for g in range(ways)])  # fmt: skip
    samples = np.ascontiguousarray(sample * own / flat * FRAMES, np.float32)
    return kernels.retrieve_stepped(samples, curves, at, exposure=FRAMES, prior=PRIOR, pitch_um=PITCH)


@pytest.mark.parametrize("ways", [3, 4])
def test_a_static_scan_returns_the_sample_whatever_the_mask(ways: int) -> None:
    found = still(ways)
    assert not found.flags.any() or (found.flags & kernels.Flag.BAD_INPUT == 0).all()
    for b in range(2):
        np.testing.assert_allclose(found.images[0, b], T[b], rtol=0.02)
        # What a Gaussian makes of the real curve: see docs/how-to/calibrate.md.
        assert found.images[2, b].mean() == pytest.approx(DARK[b], rel=0.15, abs=0.6)
        assert np.abs(found.images[1, b]).max() < 0.3


@pytest.mark.parametrize("ways", [3, 4])
def test_moving_and_static_scans_agree(ways: int) -> None:
    # A column whose aperture is not shifted sees at rest the places of its curve that the groups see in passing.
    places = X0_UM - np.asarray(SHIFTS[ways])
    at_rest, passing = still(ways, places=places).images[..., 1::ways], moving(ways, X0_UM).images
    for b in range(2):
        assert passing[0, b].mean() == pytest.approx(float(at_rest[0, b].mean()), rel=0.005)
        assert passing[2, b].mean() == pytest.approx(float(at_rest[2, b].mean()), rel=0.03, abs=0.2)


def test_its_errors_are_those_of_the_noise() -> None:
    found, clean = still(3, np.random.default_rng(7)), still(3)
    away = (found.images - clean.images)[[0, 2]] / found.sigma[[0, 2]]
    assert 0.8 < away.std() < 1.2


def test_other_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="5 groups; masks of 3 and 4 ways"):
        stepped.fit_ways(SCAN, np.ones((len(SCAN), 5, 2, ROWS), np.float32))
