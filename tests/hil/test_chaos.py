"""A short storm: 20 bags, every service killed once, packets lost, cables pulled, clock stepped, disk full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.hil, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]


def test_a_lane_in_a_storm_gives_every_bag_one_verdict_and_clears_none_wrongly(
    calibrated: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--bags", "20", "--seed", "2", "--time-scale", "8", "--rows", "256"]
    command += ["--calibrated", str(calibrated), "--keep", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    said = (tmp_path / "said.txt").read_text(encoding="utf-8") if (tmp_path / "said.txt").is_file() else ""
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{said}"
    assert "20 bags, 20 final verdicts" in done.stdout
    assert "0 violations" in done.stdout
