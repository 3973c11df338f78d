"""``darklane bench gpu`` on the stand-in for CuPy: what is counted and compared is right; times mean nothing there."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge.commands import app
from kernels.backends.cuda import CudaBackend
from kernels.bench.gpu import device, extent, ready, run
from kernels.bench.timing import QUICK
from tests.kernels.gpu import cupy_standin

TINY = extent.Extent(
    pixels=(40,), counts=(1e6,), compared=(2, 20), frames=16, batches=(4, 16), rows=2, slab=(2, 8), calls=3, rounds=2,
    copy_bytes=1024, effort=QUICK,
)  # fmt: skip


def bench(*words: str) -> Any:
    return CliRunner().invoke(app, ["bench", "gpu", *words])


@pytest.mark.parametrize("made", ["in time"], indirect=True)
def test_figures_and_table(
    public: cupy_standin.Machine, gpu: CudaBackend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extent, "SHORT", TINY)
    monkeypatch.setattr(run, "ready_seconds", lambda: {"cold": 9.0, "warm": 0.5})
    target = tmp_path / "gpu.json"
    result = bench("--quick", "--json", str(target))
    assert result.exit_code == 0, result.output
    assert "stand-in, not a GPU" in result.stdout
    assert "quick run" in result.stdout
    figures = json.loads(target.read_text(encoding="utf-8"))
    assert gpu.clock is None
    assert [(r["model"], r["pixels"]) for r in figures["rates"]] == [("map", 40), ("full", 40), ("paper", 40)]
    # The clock of the stand-in counts steps of its queue: a retrieval is two launches of one step each.
    assert [r["kernel_fits_per_second"] for r in figures["rates"]] == [pytest.approx(80 / 2e-3)] * 3
    for row in figures["agreement"]:
        assert row["pixels"] == 80
        assert row["flags_differ"] == row["nan_differ"] == row["no_fault"]["beyond_far"] == 0
        assert row["no_flag"]["pixels"] <= row["no_fault"]["pixels"] <= 80
        assert row["no_fault"]["largest_sigma"] < 1e-2
    assert [(r["backend"], r["calls"]) for r in figures["slab_latency"]] == [("cuda", 3), ("host", 3)]
    sums = figures["phase_sums"]
    # One step for each launch of 4 or 16 frames.
    assert [b["kernel_us_per_frame"] for b in sums["batches"]] == [pytest.approx(250.0), pytest.approx(62.5)]
    assert sums["copy_bytes_per_second_each_way"] == pytest.approx(1024 / 1e-3)


def test_no_gpu_is_an_error_that_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    result = bench()
    assert result.exit_code == 1
    assert "CuPy cannot be imported" in result.output
    assert "cupy-cuda12x" in result.output

    def none() -> int:
        raise RuntimeError("cudaErrorNoDevice")

    for count, why in ((none, "cudaErrorNoDevice"), (lambda: 0, "finds none; see nvidia-smi")):
        cupy: Any = types.ModuleType("cupy")
        cupy.__version__ = "0"
        cupy.cuda = types.SimpleNamespace(runtime=types.SimpleNamespace(getDeviceCount=count))
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        with pytest.raises(device.NoGpuError, match=why):
            device.open_gpu()


def test_a_start_that_fails_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "_PROGRAM", "raise SystemExit('the driver is too old')")
    with pytest.raises(RuntimeError, match="the driver is too old"):
        ready.ready_seconds()
    monkeypatch.setattr(ready, "_PROGRAM", "print(0.25)")
    assert ready.ready_seconds() == {"cold": 0.25, "warm": 0.25}
