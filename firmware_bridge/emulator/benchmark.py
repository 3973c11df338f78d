"""How fast frames are rendered on one core: ``python -m firmware_bridge.emulator.benchmark``.

CPU time is measured, not wall time: neighbours on a shared machine slow the answer only through the caches.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.render import FrameRenderer, prepare
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import COLUMNS, Scanner


def frames_per_second(scanner: Scanner, frames: int = 200) -> tuple[float, float]:
    """CPU seconds to prepare a bag, and frames rendered per CPU second while it passes (one thread)."""
    settings = EmulatorSettings()
    started = time.process_time()
    scene = prepare(scanner, settings, PlanItem(kind="bag", seed=1, target="C4"), -5.0)
    prepared = time.process_time() - started
    renderer = FrameRenderer(scanner, settings, -5.0)
    out = np.empty((2, scanner.rows, COLUMNS), dtype=np.uint16)
    lead, step = 0.0, scanner.step_um
    first = 0.3 * scene.length_um
    started = time.process_time()
    for n in range(frames):
        start = first + n * step
        renderer.frame(start, start + step, [(lead, scene)], 1.0, out)
    return prepared, frames / (time.process_time() - started)


def main() -> None:
    """Print one line per read-out mode."""
    for binning in (4, 2, 1):
        for current in (1.0, 10.0):
            scanner = Scanner(row_binning=binning, tube_ma=current)
            prepared, rate = frames_per_second(scanner)
            sys.stdout.write(
                f"{scanner.rows:5d} rows, {current:4.1f} mA: bag prepared in {prepared:.2f} s, {rate:7.1f} frames/s\n"
            )


if __name__ == "__main__":
    main()
