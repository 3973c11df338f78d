"""The beam: on, at the right voltage, on a belt that stands; its profile, and counts proportional to tube current."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from calibration.routine import Outcome, Run

F32 = npt.NDArray[np.float32]


def run(run: Run) -> Outcome:
    """Photons, belt, profile, linearity."""
    settings, limits = run.settings, run.limits
    run.devices.belt.stop_belt()
    seen: list[F32] = []
    hot = run.arrays("dark")["hot"].astype(bool)
    currents = np.asarray(settings.currents) * run.scanner.tube_ma
    for k, part in enumerate(settings.currents):
        if part < 1:
            run.beam(part)
        else:
            run.light()
        average = run.recorder.average("beam", settings.beam_frames, settings.settle_frames)
        seen.append(average.mean)
        profile = np.where(hot, np.nan, average.mean).astype(np.float32)
        counts = np.stack([np.nanmean(np.where(hot, np.nan, mean), axis=(1, 2)) for mean in seen], axis=1)
        run.show({"profile": profile, "current_ma": currents[: k + 1], "counts": counts})
        _lit(run, average.mean)
        run.say((k + 1) / (len(currents) + 1))
    _stands(run)
    slope = (counts * currents).sum(axis=1) / (currents**2).sum()
    off = float(np.abs(counts / (slope[:, None] * currents) - 1).max())
    if off > limits.max_rate_error:
        raise run.fail(
            f"counts depart by {100 * off:.1f} % from proportional to the tube current, "
            f"{100 * limits.max_rate_error:g} % is allowed",
            "Lower scanner.tube_ma if counts fall short at full current (pile-up); let the tube warm up otherwise",
        )
    values = {
        "median_counts": float(np.nanmedian(profile)),
        "kilovolts": run.devices.source.kilovolts(),
        "rate_error": off,
        "lit": float((seen[-1] > 0).any(axis=0).mean()),
    }
    arrays = {"profile": profile, "current_ma": currents, "counts": counts}
    return Outcome(values, arrays, f"counts follow the tube current within {100 * off:.1f} %")


def _lit(run: Run, mean: F32) -> None:
    lit = float((mean > 0).any(axis=0).mean())
    if lit < run.limits.min_lit:
        raise run.fail(f"only {100 * lit:.0f} % of the pixels count", "Switch the tube on and open its shutter")


def _stands(run: Run) -> None:
    stream = run.recorder.stream("beam")
    tail = [next(stream) for _ in range(run.settings.beam_frames)]
    if tail[0].encoder_start != tail[-1].encoder_stop:
        raise run.fail(
            f"the belt moves ({tail[-1].encoder_stop - tail[0].encoder_start} counts in {len(tail)} frames) "
            "although told to stop",
            "Check the interlock and the belt drive, then calibrate again",
        )
