"""The selftest: it passes here, knows every engine of this machine, and fails when a vector or an engine is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.commands import app
from kernels.backends.host import HostBackend, instruction_sets
from kernels.selftest import acquisition, checks, golden, run
from kernels.types import INFORMATIVE


def selftest(*arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(app, ["selftest", "--json", *arguments])
    return result.exit_code, json.loads(result.stdout)


def failed(report: dict[str, Any]) -> set[str]:
    return {c["vector"] for engine in report["engines"] for c in engine["checks"] if not c["passed"]}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(golden.FOLDER, tmp_path / "golden"))


def tamper(folder: Path, name: str, key: str, change: Any) -> None:
    arrays = golden.load(name, folder)
    change(arrays[key])
    np.savez_compressed(folder / f"{name}.npz", **arrays)


def test_passes_with_every_instruction_set() -> None:
    code, report = selftest()
    assert code == 0
    assert report["passed"]
    assert [e["engine"] for e in report["engines"]] == [f"host {isa}" for isa in instruction_sets()]
    for engine in report["engines"]:
        assert [c["vector"] for c in engine["checks"]] == list(run.NAMES)
        assert engine["map_fits_per_second"] > 0
        assert all(c["milliseconds"] > 0 for c in engine["checks"])
    assert report["versions"]["numpy"] == np.__version__
    assert report["versions"]["compiler"] != ""


def test_prints_a_table() -> None:
    result = CliRunner().invoke(app, ["selftest"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    for word in ("host baseline", "retrieve_map", "curve_fit_full", "nothing of it was checked", "passed"):
        assert word in result.stdout


@pytest.mark.parametrize(
    ("name", "key"),
    [
        *((f"retrieve_{m}", part) for m in golden.MODELS for part in ("images", "sigma")),
        ("phase_sums", "sums"),
        ("ratios", "values"),
        ("ratios", "errors"),
        ("curve_fit_paper", "parameters"),
        ("curve_fit_full", "residual"),
        ("correct_frames", "counts_plain"),
        ("correct_frames", "counts_paralysable"),
        *((name, part) for name in ("stepped", "sinusoid") for part in ("images", "sigma")),
    ],
)
def test_one_wrong_number_fails(name: str, key: str, copied: Path) -> None:
    """The largest expected value of what is compared, one per cent off."""

    def change(values: Any) -> None:
        given = golden.load(name, copied)
        shown = np.where(given["compared"], values, 0) if "compared" in given else values
        if name in ("stepped", "sinusoid"):
            shown = np.where((given["flags"] & ~np.uint16(INFORMATIVE)) == 0, values, 0)
        values[np.unravel_index(np.nanargmax(np.abs(shown)), values.shape)] *= 1.01

    tamper(copied, name, key, change)
    report = run.run(copied)
    assert not report["passed"]
    assert failed(report) == {name}


def test_a_wrong_flag_fails(copied: Path) -> None:
    def change(flags: Any) -> None:
        flags[0, 0, 3] = 0

    tamper(copied, "retrieve_map", "flags", change)
    code, report = selftest("--golden", str(copied))
    assert code == 1
    assert failed(report) == {"retrieve_map"}


def test_a_missing_vector_fails(copied: Path) -> None:
    (copied / "ratios.npz").unlink()
    code, report = selftest("--golden", str(copied))
    assert code == 1
    assert failed(report) == {"ratios"}
    result = CliRunner().invoke(app, ["selftest", "--golden", str(copied)])
    assert result.exit_code == 1
    assert "FAILED" in result.stdout


def test_a_nan_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        return np.full((7, 200), np.nan, dtype=np.float32), np.full((7, 200), np.nan, dtype=np.float32)

    monkeypatch.setattr(HostBackend, "ratio_images", broken)
    code, report = selftest()
    assert code == 1
    assert failed(report) == {"ratios"}


def test_an_engine_that_does_not_start_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise RuntimeError("no device memory")

    monkeypatch.setattr(run, "engines", lambda: checks.engines() | {"cuda": broken})
    report = run.run()
    assert not report["passed"]
    assert report["engines"][-1]["error"] == "RuntimeError: no device memory"
    result = CliRunner().invoke(app, ["selftest"], env={"COLUMNS": "160"})
    assert result.exit_code == 1
    assert "no device memory" in result.stdout


def test_golden_vectors_are_what_the_references_say() -> None:
    """Committed vectors and the script that makes them agree; those of `retrieve` take long and are sampled."""
    for name, made in (
        ("phase_sums", golden.phase_sums_vectors()),
        ("ratios", golden.ratios_vectors()),
        ("curve_fit_full", golden.curve_fit_vectors("full")),
        ("retrieve_full", golden.retrieve_vectors("full")),
        ("correct_frames", acquisition.correct_vectors()),
        ("stepped", acquisition.stepped_vectors()),
        ("sinusoid", acquisition.sinusoid_vectors()),
    ):
        committed = golden.load(name)
        assert committed.keys() == made.keys()
        for key, value in made.items():
            if "compared" in committed and key in ("images", "sigma"):
                plain = committed["compared"]
                np.testing.assert_allclose(value[:, plain], committed[key][:, plain], rtol=1e-4, atol=1e-4)
            elif key != "compared":
                np.testing.assert_allclose(value, committed[key], rtol=1e-5, atol=1e-7)
