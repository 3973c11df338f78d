"""Equation (1) per row and bin from the fine scan, and the working point on it."""

from __future__ import annotations

import numpy as np

from calibration import curves as curve_step
from calibration.routine import Outcome, Run
from kernels.types import IlluminationCurves

_PARTS = ("area", "centre", "width", "floor")


def run(run: Run) -> Outcome:
    """Wrapped three-Gaussian form and the form as printed."""

    def tick(fraction: float) -> None:
        # The detector goes on sending while the processor is busy: its frames must not pile up.
        run.recorder.drain()
        run.say(fraction)

    scan = run.arrays("scan")
    run.show({"positions_um": scan["positions_um"], "means": scan["means"]})
    fitted = curve_step.fit(
        scan["positions_um"],
        scan["means"],
        scan["good"],
        frames_per_position=run.settings.frames_per_position,
        scanner=run.scanner,
        limits=run.limits,
        tick=tick,
    )
    arrays = {name: getattr(fitted.full, name) for name in _PARTS}
    arrays |= {f"paper_{name}": getattr(fitted.paper, name) for name in _PARTS}
    arrays |= {"positions_um": scan["positions_um"], "means": scan["means"], "residual": fitted.residual,
               "visibility": fitted.visibility}  # fmt: skip
    return Outcome(fitted.values, arrays, f"residual {100 * fitted.values['residual']:.2f} % of the peak")


def stored(run: Run, prefix: str = "") -> IlluminationCurves:
    """The curves of this run; ``prefix`` 'paper\\_' for the printed form."""
    arrays = run.arrays("curves")
    return IlluminationCurves(*(np.ascontiguousarray(arrays[prefix + name], dtype=np.float32) for name in _PARTS))


def working_point(run: Run) -> Outcome:
    """The table of Cramér-Rao bounds; a singular working point is refused and a better one named."""
    x0_um = run.settings.working_point_um
    values, arrays = curve_step.check_working_point(stored(run), x0_um, run.limits, run.show)
    run.place(x0_um)
    found = f"x0 = {x0_um:+g} µm: 1-σ of τ² {values['sd_dark_field_um2']:.0f} µm² at 1e4 counts, offset free"
    return Outcome(values, arrays, found)
