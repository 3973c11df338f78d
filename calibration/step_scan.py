"""The fine flat mask scan about the aligned place; group means per row and position."""

from __future__ import annotations

import numpy as np

from calibration.pixels import good_pixels, group_means
from calibration.routine import Outcome, Run
from firmware_bridge.scanner import BINS, COLUMNS


def run(run: Run) -> Outcome:
    """Average frames at each mask position; what only many frames show about the pixels is added to their map."""
    run.light()
    s = run.settings
    positions = np.linspace(-s.scan_half_width_um, s.scan_half_width_um, s.scan_positions)
    good = run.arrays("pixels")["good"]
    means = []
    shape = (len(BINS), run.scanner.rows, COLUMNS)
    scatter, summed, total = (np.zeros(shape, np.float32) for _ in range(3))
    for k, x in enumerate(positions):
        run.say(k / len(positions))
        run.place(float(x))
        average = run.recorder.average("scan", s.frames_per_position, s.settle_frames)
        means.append(group_means(average.mean, good))
        # Poisson: Σ(x − mean)² over n frames is (n − 1) times the mean.
        scatter += average.scatter
        summed += (average.frames - 1) * average.mean
        total += average.mean
    fano = np.divide(scatter, summed, out=np.zeros_like(summed), where=summed > 0)
    refined = np.ascontiguousarray(good * good_pixels(total / np.float32(len(positions)), fano))
    added = int(good[0].sum(dtype=np.int64) - refined[0].sum(dtype=np.int64))
    run.show({"positions_um": positions, "means": np.stack(means), "good": refined})
    bad = 1.0 - float(refined[0].mean())
    if bad > run.limits.max_bad_pixels:
        raise run.fail(
            f"{100 * bad:.2f} % of the pixels behave unlike their neighbours over the scan, "
            f"{100 * run.limits.max_bad_pixels:g} % is allowed",
            "Clear the belt; if it is clear, have the detector serviced",
        )
    values = {"positions": float(len(positions)), "frames_each": float(s.frames_per_position),
              "bad_pixels": float((refined[0] == 0).sum())}  # fmt: skip
    arrays = {"positions_um": positions, "means": np.stack(means), "good": refined}
    return Outcome(values, arrays, f"{added} more bad pixels than the quick look found")
