"""The long flat at the working point; it must agree with the curves just fitted."""

from __future__ import annotations

import numpy as np

import kernels
from calibration.pixels import group_means, live_rows
from calibration.routine import Outcome, Run
from calibration.step_curves import stored


def run(run: Run) -> Outcome:
    """Mean counts per frame and pixel in air."""
    run.light()
    x0_um, frames = run.settings.working_point_um, run.settings.flat_frames
    run.place(x0_um)
    average = run.recorder.average("flat", frames, run.settings.settle_frames, lambda n: run.say(n / (frames + 1)))
    good = run.arrays("scan")["good"]
    modelled = kernels.flat_model(stored(run), x0_um, "full")
    ratio = (group_means(average.mean, good) / modelled)[..., live_rows(good)]
    run.show({"ratio": ratio})
    mismatch = float(np.abs(np.median(ratio, axis=-1) - 1).max())
    if not mismatch <= run.limits.max_flat_mismatch:
        raise run.fail(
            f"the flat is {100 * mismatch:.1f} % off the curves of the mask scan, "
            f"{100 * run.limits.max_flat_mismatch:g} % is allowed",
            "Tube output or mask drifted meanwhile, or something lies in the beam: clear the belt, let the tube "
            "warm up, calibrate again",
        )
    values = {"frames": float(frames), "mismatch": mismatch}
    return Outcome(values, {"flat": average.mean, "ratio": ratio}, f"{100 * mismatch:.1f} % off the fitted curves")
