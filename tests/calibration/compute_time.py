"""How long the computing of a calibration takes, exposures excluded: ``python -m tests.calibration.compute_time``.

Simulated counts of 2048 rows: both curve fits, working-point table, offset prior, retrieval of the wedges' blocks,
linearisation.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import kernels
from calibration import curves as curve_step
from calibration import tray as tray_step
from calibration.linearity import fit_linearisation
from calibration.steps import Limits
from firmware_bridge.emulator import render
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.reference_strips import STRIPS
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner
from kernels.types import OffsetPrior
from tests.calibration.synthetic import X0_UM
from tests.calibration.test_linearity import wedge

FRAMES, PLATES = 16, 30


def main() -> None:
    """Print seconds of wall clock and of processor time."""
    scanner, settings = Scanner(row_binning=1), EmulatorSettings(seed=1)
    rng = np.random.default_rng(1)
    at = np.linspace(-40, 40, 41)
    n = FRAMES * COLUMNS // GROUPS
    scan = np.stack([render.air(scanner, settings, float(x)).transpose(1, 0, 2) for x in at])
    means = np.ascontiguousarray(rng.poisson(scan * n) / n, np.float32)
    good = np.ones((2, scanner.rows, COLUMNS), np.uint8)
    blocks = len(STRIPS["wedges"])
    samples = np.repeat(render.air(scanner, settings, X0_UM).transpose(1, 0, 2)[..., None], blocks, -1) * 200
    wall, processor = time.perf_counter(), time.process_time()
    fitted = curve_step.fit(at, means, good, frames_per_position=FRAMES, scanner=scanner, limits=Limits())
    curve_step.check_working_point(fitted.full, X0_UM, Limits())
    t = np.stack([np.linspace(0.1, 0.9, PLATES)] * 2)
    sd = np.full_like(t, 0.006)
    plates = tray_step.Plates(("",) * PLATES, t, t**0.65, sd, sd, np.ones_like(t))
    prior, _ = tray_step.prior(plates, Limits())
    assert isinstance(prior, OffsetPrior)
    kernels.retrieve(samples.astype(np.float32), fitted.full, X0_UM, exposure=200.0, model="map", prior=prior)
    fit_linearisation([wedge(0.045, 8.0, 1), wedge(0.05, 1.5, 2), wedge(0.04, 3.0, 3), wedge(0.03, 0.5, 4)])
    took = time.perf_counter() - wall, time.process_time() - processor
    sys.stdout.write(f"{scanner.rows} rows: {took[0]:.1f} s wall clock, {took[1]:.1f} s processor time\n")


if __name__ == "__main__":
    main()
