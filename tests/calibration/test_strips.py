"""Strips of known materials: the response of the real curve, the phantom's certificate, what a full bundle holds."""

from __future__ import annotations

import dataclasses
import json
from importlib import resources
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import kernels
from calibration.bundle import References, load
from calibration.certificate import CertificateError, read
from calibration.linearity import fit_linearisation
from calibration.response import Response
from calibration.tray import EDGE_MARGIN_MM
from firmware_bridge.emulator import forward, render
from firmware_bridge.emulator.data import make_phantom
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.reference_strips import BLOCK_MM, STRIPS, block_mm, length_mm
from firmware_bridge.scanner import Scanner
from kernels.types import OffsetPrior
from tests.calibration.synthetic import X0_UM, bundle
from tests.calibration.test_linearity import wedge

CERTIFICATE = Path(str(resources.files("firmware_bridge.emulator.data").joinpath("phantom.json")))
EXPOSURE = 200.0


def test_the_response_of_the_curve_takes_the_bias_of_strong_scatterers_out() -> None:
    scanner, settings = Scanner(native_rows=64), EmulatorSettings(seed=3, mask_segment_um=0.5)
    at = np.linspace(-40, 40, 41)
    scan = [render.air(scanner, settings, float(x)).transpose(1, 0, 2) for x in at]
    means = np.ascontiguousarray(np.stack(scan), np.float32)
    curves, _ = kernels.fit_curves(at, means)
    prior = OffsetPrior(np.zeros((2, 5)), np.full(2, 1e-3))  # o = 1, as in the samples below
    truth = np.array([[20.0, 60.0, 150.0], [5.0, 10.0, 30.0]])
    images = np.zeros((truth.shape[1], 2, 4, scanner.rows), np.float32)
    images[:, :, 0] = images[:, :, 3] = 1.0
    images[:, :, 2] = truth.T[:, :, None]
    expected = np.empty((2, truth.shape[1], 4, scanner.rows), np.float32)
    forward.expected_counts(scanner, settings, images, X0_UM, expected)
    air = render.air(scanner, settings, X0_UM).transpose(1, 0, 2)
    gain = kernels.flat_model(curves, X0_UM, "full") / air
    samples = expected.transpose(2, 0, 3, 1) * gain[..., None] * np.float32(EXPOSURE)
    found = kernels.retrieve(
        np.ascontiguousarray(samples), curves, X0_UM, exposure=EXPOSURE, model="map", prior=prior
    ).images.mean(axis=2, dtype=np.float64)
    response = Response(scanner, at, means, curves, prior, X0_UM, EXPOSURE)
    t, dark = response.true(found[0], found[2])
    assert (found[2] / truth - 1).max() > 0.05
    np.testing.assert_allclose(dark, truth, rtol=0.01, atol=0.1)
    np.testing.assert_allclose(t, 1.0, rtol=2e-3)


def test_the_committed_certificate_is_what_its_script_makes() -> None:
    for kv in (80, 120):
        made, kept = make_phantom.expected(kv), read(CERTIFICATE, kv)
        np.testing.assert_allclose(made["t"], kept.t, atol=2e-6)
        np.testing.assert_allclose(made["dark_field_um2"], kept.dark_field, atol=2e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": [{"material": "brick", "thickness_mm": 3}]}, "not those of the phantom's drawing"),
        ({"kv": {}}, "no values for 80 kV"),
        ({"kv": {"80": {"t": [[1.0]], "dark_field_um2": [[0.0]]}}}, "needs 2 bins of 20 values"),
        ({"simulated": "perhaps"}, "cannot be used"),
    ],
)
def test_a_certificate_of_something_else_is_refused(change: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(json.loads(CERTIFICATE.read_text(encoding="utf-8")) | change), encoding="utf-8")
    with pytest.raises(CertificateError, match=message):
        read(path, 80)


def test_blocks_of_a_strip_touch_and_leave_room_inside_their_margins() -> None:
    for name, blocks in STRIPS.items():
        ends = [block_mm(k) for k in range(len(blocks))]
        assert all(a[1] == b[0] for a, b in pairwise(ends))
        assert length_mm(name) > ends[-1][1]
    assert BLOCK_MM > 2 * EDGE_MARGIN_MM
    fitted = {name for strip in ("wedges", "samples") for name, _ in STRIPS[strip]}
    assert not fitted & {name for name, _ in STRIPS["phantom"]}


def test_a_full_bundle_keeps_linearisation_and_references_under_its_hash(tmp_path: Path) -> None:
    plain = bundle(created_ns=1)
    full = dataclasses.replace(
        plain,
        linearisation=fit_linearisation([wedge(0.045, 8.0, 1), wedge(0.05, 1.5, 2)]),
        references=References(("C4", "soap"), np.arange(12.0).reshape(3, 2, 2)),
    )
    assert full.id != plain.id
    loaded = load(full.store(tmp_path))
    assert loaded.id == full.id
    assert loaded.references is not None
    assert loaded.linearisation is not None
    assert loaded.references.names == ("C4", "soap")
    np.testing.assert_array_equal(loaded.references.signals, np.arange(12.0).reshape(3, 2, 2))
    assert load(plain.store(tmp_path)).references is None
