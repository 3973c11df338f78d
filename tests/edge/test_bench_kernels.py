"""``darklane bench kernels`` in its quick mode: figures of the right shape, honest about what is absent."""

from __future__ import annotations

import builtins
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edge.commands import app
from kernels.bench import scene, timing
from kernels.bench.native import Probe, ProbeError
from kernels.bench.peers import numpy_lm, scipy_fits
from kernels.bench.peers.problem import Fits, chi2, fits_of
from kernels.bench.timing import QUICK, Timing, measure


@pytest.fixture(scope="module")
def fits() -> Fits:
    return fits_of(scene.pixels(2, 60, 1e5, 1))


def test_quick_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.split(".", maxsplit=1)[0] in ("numba", "matplotlib", "pycpufit"):
            raise ImportError(f"No module named {name!r}")
        return importing(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    target = tmp_path / "kernels.json"
    result = CliRunner().invoke(app, ["bench", "kernels", "--quick", "--json", str(target)])
    assert result.exit_code == 0, result.output
    figures = json.loads(target.read_text(encoding="utf-8"))
    names = [row["name"] for row in figures["retrieval"]]
    assert names[:3] == ["darklane map", "darklane full", "darklane paper"]
    assert set(names[3:]) == {"numpy batched LM", "scipy curve_fit", "scipy least_squares"}
    assert all(row["fits_per_second_per_core"] > 0 for row in figures["retrieval"])
    assert [row["name"] for row in figures["absent"]] == ["numba LM", "Cpufit"]
    for name in ("numba LM", "Cpufit"):
        assert f"absent: {name}" in result.stdout
    assert "matplotlib is not installed" in result.stdout
    assert "quick run" in result.stdout
    assert figures["quick"] is True
    assert figures["ratios"]["darklane map"]["scipy curve_fit"] > 1
    assert {"pixels", "threads", "counts"} <= figures["scaling"].keys()
    assert [b["frames_per_call"] for b in figures["phase_sums"]["batches"]] == [1, 4, 16, 64]
    assert figures["phase_sums"]["copy_bytes_per_second"] > 0


def test_all_peers_solve_the_same_problem(fits: Fits) -> None:
    """Noisy samples have an exact root for nearly all pixels; a peer that does not find it is not a peer."""
    few = fits.part(slice(0, 240, 8))
    ways: list[Any] = [scipy_fits.fit_curve_fit(few), scipy_fits.fit_least_squares(few), numpy_lm.fit(few)]
    solved = [chi2(few, found) < 0.05 for found in ways]
    assert all(s.mean() > 0.85 for s in solved)
    every = np.logical_and.reduce(solved)
    for found in ways[1:]:
        same = np.abs(found - ways[0])[:, every] < np.array([0.01, 0.05, 5.0, 0.05])[:, None]
        assert same.all(axis=0).mean() > 0.85  # a few have two exact roots


def test_threads_of_the_numpy_peer_change_nothing(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_lm, "BATCH", 64)
    np.testing.assert_array_equal(numpy_lm.fit(fits), numpy_lm.fit(fits, 3))


def test_numba_peer(fits: Fits) -> None:
    pytest.importorskip("numba")
    from kernels.bench.peers import numba_lm

    one = numba_lm.fit(fits)
    assert (chi2(fits, one) < 0.05).mean() > 0.85
    np.testing.assert_array_equal(one, numba_lm.fit(fits, 2))


@pytest.mark.skipif(shutil.which("c++") is None, reason="the probe needs a compiler")
def test_the_probe_counts_operations_of_the_kernels() -> None:
    probe = Probe()
    data = scene.pixels(1, 50, 1e5, 2)
    full, tied = probe.operations(data, "full"), probe.operations(data, "map")
    for counts in (full, tied):
        assert 1000 < counts["additions"] + counts["multiplications"] < 20_000
        assert 1 < counts["iterations"] < 30
    # 12 Gaussians for each evaluation: at least 6 multiplications each.
    assert full["multiplications"] > 72 * full["iterations"]
    assert probe.multiply_add(10) == 2 * 16 * 12 * 10


def test_no_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(ProbeError, match="no C\\+\\+ compiler"):
        Probe()
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(ProbeError, match="did not compile"):
        Probe()


def test_measure_ends_and_counts_calls() -> None:
    calls = []
    found = measure(lambda: calls.append(1), QUICK)
    assert found.rounds >= 1
    assert found.wall_s > 0
    assert len(calls) > found.rounds


def test_the_quietest_rounds_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two works in turn; others are busy in most rounds, and slow both works alike."""
    busy = iter([0.0, 0.0, 1.0, 0.9, 0.1, 0.05, 0.8, 0.9, 0.0, 0.1, 1.0, 1.0])
    seconds = {"a": 1.0, "b": 2.0}

    def once(work: Callable[[], object], calls: int) -> Timing:
        others = next(busy)
        spent = seconds[str(work())] * (1 + others)
        return Timing(spent, spent, others, 1)

    monkeypatch.setattr(timing, "_once", once)
    found = timing.measure_in_turn({"a": lambda: "a", "b": lambda: "b"}, timing.Effort(2, 1.0, 1e9))
    assert [t.others for t in found["a"]] == [0.1, 0.0]
    assert timing.ratio(found["b"], found["a"], timing.wall) == pytest.approx(2.0, rel=0.1)
    assert timing.medians(found)["a"].rounds == 2


def test_plot(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from kernels.bench.plot import plot

    point = {"model": "map", "pixels": 10, "threads": 1, "counts_at_peak": 1e4}
    rate = {"fits_per_second_per_core": 5e6, "fits_per_second": 5e6}
    figures = {
        "machine": {"processor": "test"},
        "retrieval": [{"name": "darklane map", **rate}, {"name": "numpy batched LM", "fits_per_second_per_core": 1e5}],
        "scaling": {key: [point | rate] for key in ("pixels", "threads", "counts")},
    }
    plot(figures, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000
