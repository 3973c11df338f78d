"""Dead, hot and noisy pixels, with the mask wherever it stands: the axes are not needed yet."""

from __future__ import annotations

from calibration.pixels import DEAD, HOT, live_rows, pixel_kinds, usable
from calibration.routine import Outcome, Run


def run(run: Run) -> Outcome:
    """The pixel map, from the dark frames and some with light."""
    run.light()
    settings, limits = run.settings, run.limits
    average = run.recorder.average("pixels", settings.pixel_frames, settings.settle_frames)
    kinds = pixel_kinds(average, run.arrays("dark")["hot"].astype(bool))
    good = usable(kinds)
    run.show({"kinds": kinds})
    bad, dead_rows = float((kinds > 0).mean()), 1.0 - float(live_rows(good).mean())
    if bad > limits.max_bad_pixels or dead_rows > limits.max_dead_rows:
        raise run.fail(
            f"{100 * bad:.2f} % of the pixels and {100 * dead_rows:.1f} % of the rows are unusable; "
            f"{100 * limits.max_bad_pixels:g} % and {100 * limits.max_dead_rows:g} % are allowed",
            "Clear the belt; if it is clear, have the detector serviced",
        )
    values = {
        "bad_pixels": float((kinds > 0).sum()),
        "bad_fraction": bad,
        "dead": float((kinds == DEAD).sum()),
        "hot": float((kinds == HOT).sum()),
    }
    return Outcome(values, {"good": good, "kinds": kinds}, f"{100 * bad:.2f} % of the pixels are not used")
