"""Bundles: named by their content, refused when altered, expired by age."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import h5py
import numpy as np
import pytest

from calibration.bundle import BundleError, activate, load, load_active
from firmware_bridge.scanner import Scanner
from tests.calibration.synthetic import SCANNER, bundle

HOUR_NS = 3_600_000_000_000
NOW = 1_700_000_000_000_000_000


def test_saved_bundle_reads_back_and_is_active(tmp_path: Path) -> None:
    made = bundle(NOW)
    path = made.save(tmp_path)
    assert path.name == f"{made.id}.h5"
    again = load(path)
    assert again.id == made.id
    np.testing.assert_array_equal(again.flat, made.flat)
    np.testing.assert_array_equal(again.curves.centre, made.curves.centre)
    active = load_active(tmp_path)
    assert active is not None
    assert active.id == made.id


def test_id_depends_on_every_field() -> None:
    made = bundle(NOW)
    flat = made.flat.copy()
    flat[0, 0, 0] += 1e-3
    others = [
        dataclasses.replace(made, flat=flat),
        dataclasses.replace(made, working_point_um=-5.5),
        dataclasses.replace(made, created_ns=NOW + 1),
        dataclasses.replace(made, curves=made.curves_paper, curves_paper=made.curves),
    ]
    ids = {other.id for other in others[:3]}
    assert made.id not in ids
    assert len(ids) == 3


@pytest.mark.parametrize("field", ["flat", "prior/sd", "curves/floor", "good_pixels"])
def test_an_altered_array_is_refused(tmp_path: Path, field: str) -> None:
    path = bundle(NOW).save(tmp_path)
    with h5py.File(path, "r+") as file:
        values = file[field][()]
        values.flat[0] += 1
        file[field][...] = values
    with pytest.raises(BundleError, match="altered"):
        load_active(tmp_path)


def test_an_altered_attribute_is_refused(tmp_path: Path) -> None:
    path = bundle(NOW).save(tmp_path)
    with h5py.File(path, "r+") as file:
        file.attrs["created_ns"] = NOW + 10 * HOUR_NS
    with pytest.raises(BundleError, match="altered"):
        load(path)


def test_a_truncated_file_and_a_foreign_pointer_are_refused(tmp_path: Path) -> None:
    path = bundle(NOW).save(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BundleError, match="calibrate again"):
        load_active(tmp_path)
    (tmp_path / "active").write_text("../../etc/passwd", encoding="ascii")
    with pytest.raises(BundleError, match="not a calibration id"):
        load_active(tmp_path)
    with pytest.raises(BundleError, match="darklane calibrate"):
        activate(tmp_path, "cal-0123456789abcdef")


def test_nothing_active_is_none(tmp_path: Path) -> None:
    assert load_active(tmp_path) is None


def test_state_by_age_and_scanner() -> None:
    made = bundle(NOW)
    scanner = SCANNER.model_dump_json()
    assert made.state(24, scanner, NOW) == "CALIBRATED"
    assert made.state(24, scanner, NOW + 24 * HOUR_NS) == "CALIBRATED"
    assert made.state(24, scanner, NOW + 24 * HOUR_NS + HOUR_NS // 60) == "EXPIRED"
    assert made.state(24, scanner, NOW - HOUR_NS) == "EXPIRED"
    other = Scanner(native_rows=32, tube_kv=120)
    assert made.state(24, other.model_dump_json(), NOW) == "INVALID"
