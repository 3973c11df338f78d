"""Tables, optics and forward model against the numbers of the design and against each other."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from firmware_bridge.emulator import forward, materials, optics
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.emulator.texture import PIXEL_UM, relative_variance, texture
from firmware_bridge.scanner import Scanner

F64 = npt.NDArray[np.float64]
REFERENCE = Path(__file__).with_name("materials_reference.csv")
SETTINGS = EmulatorSettings()
#: Densities in the reference are printed with two digits, its compositions are not printed at all.
ONE_MATERIAL, TYPICAL = 0.09, 0.03


def slab(scanner: Scanner, name: str, thickness_mm: float) -> F64:
    """t, Δ, τ², o of a wide homogeneous slab without texture: (2, 4)."""
    canvas = forward.Canvas(scanner, SETTINGS, 0.0, 3)
    canvas.add(materials.material(name), np.full((3, scanner.rows), thickness_mm, np.float32), 0, 0, None)
    return canvas.images()[1, :, :, 0].astype(np.float64)


def small(tube_kv: Literal[80, 120] = 80) -> Scanner:
    return Scanner(tube_kv=tube_kv, native_rows=16, row_binning=1)


def test_thirty_six_materials_in_three_classes() -> None:
    known = materials.all_materials()
    assert len(known) == 36
    assert {m.kind for m in known.values()} == {"threat", "benign", "clutter"}
    assert len(materials.names("threat")) == 7
    with pytest.raises(ValueError, match="unobtainium"):
        materials.material("unobtainium")


def test_six_functions_carry_every_attenuation_curve() -> None:
    basis, coefficients = materials.attenuation_basis()
    detected = materials.energies_kev() >= 15
    for name, m in materials.all_materials().items():
        assert basis[detected] @ coefficients[name] == pytest.approx(m.mu_per_mm[detected], rel=1e-3), name


@pytest.mark.parametrize(
    ("tube_kv", "floors", "open_beam"), [(80, (0.04, 0.32), (2123, 1523)), (120, (0.11, 0.49), (4682, 3120))]
)
def test_illumination_curve_and_beams_have_the_numbers_of_the_design(
    tube_kv: Literal[80, 120], floors: tuple[float, float], open_beam: tuple[int, int]
) -> None:
    scanner = Scanner(tube_kv=tube_kv)
    peak = float(optics.aperture_curve(scanner, np.array(0.0)))
    assert peak == pytest.approx(0.203, abs=0.0005)
    assert optics.curve_width_um(scanner) == pytest.approx(12.07, abs=0.02)
    x = np.linspace(-37.5, 37.5, 201)
    gauss = np.exp(-0.5 * (x / optics.curve_width_um(scanner)) ** 2)
    curve = optics.aperture_curve(scanner, x)
    assert np.max(np.abs(curve - gauss * (gauss @ curve) / (gauss @ gauss))) < 0.0125 * peak
    beams = optics.beams(scanner)
    assert beams.floor / (beams.floor + beams.peak * peak) == pytest.approx(floors, abs=0.012)
    assert beams.open_beam == pytest.approx(open_beam, rel=0.06)


def test_dark_field_broadens_the_curve_by_its_variance() -> None:
    scanner = Scanner()
    x = np.linspace(-200.0, 200.0, 4001)
    for tau2 in (0.0, 30.0, 300.0):
        curve = optics.aperture_curve(scanner, x, tau2)
        variance = (curve @ x**2) / curve.sum()
        bare = optics.aperture_curve(scanner, x)
        assert variance - (bare @ x**2) / bare.sum() == pytest.approx(tau2, abs=0.02)
        assert curve.sum() == pytest.approx(bare.sum(), rel=1e-6)


def test_tabulated_curve_is_the_curve() -> None:
    """Counts from the native table agree with the closed form, at the neighbours' wrap too."""
    scanner = small()
    flat = SETTINGS.model_copy(update={"mask_segment_um": 0.0, "mask_drift_um": 0.0})
    rng = np.random.default_rng(3)
    images = np.zeros((50, 2, 4, 16), np.float32)
    images[:, :, 0] = rng.uniform(0.05, 1.0, (50, 2, 16))
    images[:, :, 1] = rng.uniform(-20.0, 20.0, (50, 2, 16))
    images[:, :, 2] = rng.uniform(0.0, 900.0, (50, 2, 16))
    images[:, :, 3] = rng.uniform(0.05, 1.0, (50, 2, 16))
    out = np.empty((2, 50, 4, 16), np.float32)
    forward.expected_counts(scanner, flat, images, -5.0, out)
    beams, mas = optics.beams(scanner), forward.exposure_mas(scanner)
    t, shift, tau2, o = (np.moveaxis(images[:, :, k], 1, 0).astype(float) for k in range(4))
    for group in range(4):
        x = np.mod(-5.0 + 75.0 * group - shift, 300.0)
        curve = optics.group_curve(scanner, x, tau2)
        exact = mas * (beams.peak[:, None, None] * t * curve + beams.floor[:, None, None] * o)
        peak = mas * beams.peak[:, None, None] * 0.203
        assert np.max(np.abs(out[:, :, group] - exact) / peak) < 3e-4


@pytest.mark.parametrize("tube_kv", [80, 120])
def test_materials_agree_with_the_table_of_the_design(tube_kv: Literal[80, 120]) -> None:
    scanner = small(tube_kv)
    differences: dict[str, list[float]] = {}
    with REFERENCE.open() as handle:
        rows = [row for row in csv.DictReader(handle) if int(row["tube_kv"]) == tube_kv]
    assert len(rows) == 35
    for row in rows:
        thin_mm = 0.1 / float(row["mu_low"])  # one per cent of attenuation
        thin, thick = slab(scanner, row["name"], thin_mm), slab(scanner, row["name"], 5.0)
        for b, name in enumerate(("low", "high")):
            found = {
                "mu": -np.log(thin[b, 0]) / thin_mm * 10.0,
                "mu_offset": -np.log(thin[b, 3]) / thin_mm * 10.0,
                "tau2": thin[b, 2] / thin_mm * 10.0,
                "t5": thick[b, 0],
                "tau2_5": thick[b, 2],
            }
            for key, value in found.items():
                expected = float(row[f"{key}_{name}"])
                opaque = key == "tau2_5" and float(row[f"t5_{name}"]) < 0.02
                if expected > 0.05 and not opaque:
                    differences.setdefault(key, []).append(value / expected - 1.0)
    for key, values in differences.items():
        assert np.max(np.abs(values)) < ONE_MATERIAL, key
        assert abs(np.median(values)) < TYPICAL, key


def test_thin_beams_are_linear_and_acrylic_has_no_dark_field() -> None:
    scanner = small()
    for name in ("C4", "Semtex1A", "paper"):
        one, two = slab(scanner, name, 0.1), slab(scanner, name, 0.2)
        assert np.log(two[:, 0]) / np.log(one[:, 0]) == pytest.approx(2.0, rel=5e-3)
        assert two[:, 2] / one[:, 2] == pytest.approx(2.0, rel=5e-3)
    assert np.all(slab(scanner, "acrylic", 20.0)[:, 2] == 0.0)


def test_bins_differ_more_in_dark_field_than_in_attenuation() -> None:
    """τ² ~ 1/E⁴: what the second bin buys. Hardening makes the ratio fall with thickness."""
    thin, thick = slab(small(), "C4", 2.5), slab(small(), "C4", 37.5)
    dark, attenuation = thin[0, 2] / thin[1, 2], np.log(thin[0, 0]) / np.log(thin[1, 0])
    assert dark > 6.0
    assert 1.3 < attenuation < 2.0
    assert 4.0 < thick[0, 2] / thick[1, 2] < dark


def test_refraction_integrates_to_the_phase_of_the_object() -> None:
    """Δ = Λ d/dx ∫δ dz, and x runs against the belt coordinate."""
    scanner = small()
    canvas = forward.Canvas(scanner, SETTINGS, 0.0, 400)
    u = canvas.u_mm()
    bump = 0.2 * np.exp(-0.5 * ((u - u.mean()) / 1.5) ** 2)
    canvas.add(materials.material("PE"), np.repeat(bump[:, None], 16, axis=1).astype(np.float32), 0, 0, None)
    shift = canvas.images()[:, 0, 1, 0].astype(float)
    beams = optics.beams(scanner)
    energy = materials.energies_kev()
    delta = materials.DELTA * materials.material("PE").electrons * (beams.aperture[0] / energy**2).sum()
    expected = -scanner.lever_um_per_urad * 1e6 * delta * np.gradient(bump, u)
    assert shift == pytest.approx(expected, abs=0.01 * np.max(np.abs(expected)))
    assert shift[np.argmax(np.abs(shift))] * np.sign(np.argmax(np.abs(shift)) - 200) > 0


def test_texture_has_the_variance_of_the_law_and_unit_mean() -> None:
    rng = np.random.default_rng(5)
    for name in ("C4", "Semtex1A", "TSR_AN"):
        m = materials.material(name)
        field = texture(m, 10_000.0, (600, 600), PIXEL_UM, PIXEL_UM, rng)
        assert field is not None
        assert float(field.mean()) == pytest.approx(1.0, abs=0.005)
        assert float(field.var()) == pytest.approx(relative_variance(m, 10_000.0), rel=0.05)
    sugar = materials.material("sugar")
    field = texture(sugar, 10_000.0, (400, 400), PIXEL_UM, PIXEL_UM, rng)
    assert field is not None
    assert np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1] > 0.8  # grains span several pixels
    assert texture(materials.material("acrylic"), 10_000.0, (4, 4), PIXEL_UM, PIXEL_UM, rng) is None


def test_mask_offsets_are_small_smooth_and_of_this_scanner() -> None:
    scanner = Scanner(native_rows=2048, row_binning=4)
    offsets = forward.centre_offsets_um(scanner, SETTINGS)
    assert offsets.shape == (512,)
    assert 0.5 < np.ptp(offsets) < 15.0
    steps = np.sort(np.abs(np.diff(offsets)))
    assert steps[-3] < 0.1  # but for the two joints of the segments
    other = forward.centre_offsets_um(scanner, SETTINGS.model_copy(update={"seed": 2}))
    assert not np.allclose(offsets, other)
