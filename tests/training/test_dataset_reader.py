"""A data set's folder: what is written is read, splits hold, and damage is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training import tiny_dataset
from training import dataset
from training.dataset.manifest import DatasetError
from training.dataset.scan_file import RetrievalName, Scan, ScanFileError, made, read, write


def test_a_scan_comes_back_as_it_was(tmp_path: Path) -> None:
    drawn = tiny_dataset.scan(5, 1)
    drawn.images[0, 0, 3, 4] = np.nan
    drawn.sigma[1, 1, 0, 0] = np.inf
    sha256 = write(tmp_path / "one.h5", drawn, "recipe")
    back = read(tmp_path / "one.h5", sha256=sha256)
    assert back.truth == drawn.truth
    assert back.label == 1
    np.testing.assert_allclose(back.images, drawn.images, rtol=2**-11, atol=1e-6)
    np.testing.assert_array_equal(back.mask, drawn.mask)
    assert np.isfinite(back.sigma).all()
    assert back.paper is not None
    assert back.retrieved("paper").images.dtype == np.float32
    assert made(tmp_path / "one.h5", "recipe") == (sha256, drawn.truth)
    assert made(tmp_path / "one.h5", "another recipe") is None
    with pytest.raises(ScanFileError, match="sha256 differs"):
        read(tmp_path / "one.h5", sha256="0" * 64)


def test_ratios_are_made_of_either_retrieval_with_their_sigma(tmp_path: Path) -> None:
    scans = tiny_dataset.make(tmp_path)
    kinds: tuple[RetrievalName, ...] = ("map", "paper")
    scan = scans[0]
    for which in kinds:
        got, found = scan.retrieved(which), scan.ratios(which)
        t, dark_field, o = (got.images[k].astype(np.float64) for k in (0, 2, 3))
        st, sd, _ = (got.sigma[k].astype(np.float64) for k in (0, 2, 3))
        a, sa = -np.log(t), st / t
        np.testing.assert_allclose(found.attenuation[0], a, rtol=1e-4)
        np.testing.assert_allclose(found.attenuation[1], sa, rtol=1e-4)
        np.testing.assert_allclose(found.r_ab[0], a[0] / a[1], rtol=1e-4)
        np.testing.assert_allclose(found.r_ab[1], a[0] / a[1] * np.hypot(sa[0] / a[0], sa[1] / a[1]), rtol=1e-3)
        np.testing.assert_allclose(found.r_of[0], np.log(o[0]) / np.log(o[1]), rtol=1e-3)
        np.testing.assert_allclose(found.dark_field_per_attenuation[0], dark_field / a, rtol=1e-3)
        spread = np.hypot(sd / a, dark_field / a * sa / a)
        np.testing.assert_allclose(found.dark_field_per_attenuation[1], spread, rtol=1e-3)
        drowned = np.abs(dark_field[1]) < 2.9 * sd[1]
        assert drowned.any()
        assert np.isnan(found.r_df[0][drowned]).all(), "a denominator that may be zero gives no ratio"
    without = Scan(scan.name, scan.images, scan.sigma, scan.flags, scan.mask, scan.truth)
    with pytest.raises(ValueError, match="holds no retrieval 'paper'"):
        without.ratios("paper")


def test_splits_and_folds_test_every_scan_where_they_should(tmp_path: Path) -> None:
    scans = tiny_dataset.make(tmp_path)
    train, test = scans.split("train", 1), scans.split("test", 1)
    assert not set(train.indices) & set(test.indices)
    assert len(train) + len(test) == len(scans)
    folds = train.folds(4, 7)
    assert sorted(i for fold in folds for i in fold.test) == sorted(train.indices)
    for fold in folds:
        assert set(scans.of(fold.test).labels.tolist()) == {0, 1}
        assert set(fold.train) | set(fold.test) == set(train.indices)
    assert folds == train.folds(4, 7)
    assert [one.label for one in test] == test.labels.tolist()
    assert len(scans[2:5]) == 3
    scans.verify()
    with pytest.raises(DatasetError, match="split 3 does not exist"):
        scans.split("test", 3)
    with pytest.raises(ValueError, match="only 4 scans"):
        train.folds(5, 1)


def test_damage_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no data set here"):
        dataset.open(tmp_path / "nowhere")
    scans = tiny_dataset.make(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    (tmp_path / scans.entries[0].file).write_bytes(b"no such thing")
    with pytest.raises(ScanFileError, match="not a readable scan"):
        scans[0]
    (tmp_path / scans.entries[3].file).unlink()
    with pytest.raises(DatasetError, match="1 scans are missing"):
        dataset.open(tmp_path)
    manifest["scans"][1]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="not that of the listed scans"):
        dataset.open(tmp_path)
    manifest["scans"][1]["label"] = 7
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DatasetError, match="label"):
        dataset.open(tmp_path)
