"""Tube off: frames arrive, nothing counts. Finds hot pixels, and thresholds that lie in the noise."""

from __future__ import annotations

import numpy as np

from calibration.routine import Outcome, Run

#: A pixel with more counts per frame than this in the dark is hot.
HOT_COUNTS = 0.5


def run(run: Run) -> Outcome:
    """Dark counts with the belt stopped."""
    run.devices.belt.stop_belt()
    run.beam(0.0)
    settings = run.settings
    average = run.recorder.average("dark", settings.dark_frames, settings.settle_frames)
    frame = next(run.recorder.stream("dark"))
    run.show({"dark": average.mean})
    hot = (average.mean > HOT_COUNTS).any(axis=0)
    quiet = average.mean[:, ~hot]
    if quiet.size == 0 or float(quiet.mean()) > run.limits.max_dark_counts:
        level = "every pixel counts" if quiet.size == 0 else f"{float(quiet.mean()):.2g} counts per frame and pixel"
        raise run.fail(
            f"with the tube off {level}; {run.limits.max_dark_counts:g} are allowed",
            "Raise the lower threshold of the detector, check its temperature and bias; is another source on?",
        )
    values = {
        "dark_counts_low": float(quiet[0].mean()),
        "dark_counts_high": float(quiet[1].mean()),
        "hot_pixels": float(hot.sum()),
        "threshold_1_ev": float(frame.thresholds_ev[0]),
        "threshold_2_ev": float(frame.thresholds_ev[1]),
    }
    arrays = {"dark": average.mean, "hot": hot.astype(np.uint8), "thresholds_ev": np.asarray(frame.thresholds_ev)}
    return Outcome(values, arrays, f"{int(hot.sum())} hot pixels, thresholds {frame.thresholds_ev} eV")
