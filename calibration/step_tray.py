"""The reference tray through the beam, and the offset prior from its plates."""

from __future__ import annotations

import numpy as np

import kernels
from calibration import tray as tray_step
from calibration.air import output_scale
from calibration.routine import Outcome, Run
from calibration.step_curves import stored
from calibration.tray_pass import record_tray


def run(run: Run) -> Outcome:
    """Transmission and offset of every plate."""
    run.light()
    x0_um, good = run.settings.working_point_um, run.arrays("scan")["good"]
    run.place(x0_um)
    recorded = record_tray(
        run.recorder,
        run.devices.belt,
        run.scanner,
        tray=run.tray,
        good=good,
        settings=run.settings,
        limits=run.limits,
        tick=run.say,
    )
    curves = stored(run)
    modelled = kernels.flat_model(curves, x0_um, "full")
    samples, exposure, _ = kernels.normalise(*recorded.sums, run.arrays("flat")["flat"], good, modelled)
    scale = output_scale(samples[..., : recorded.air_columns], exposure[: recorded.air_columns], modelled)
    samples = samples / np.asarray(scale, np.float32)[:, None, None]
    try:
        measured = tray_step.measure(samples, exposure, curves, x0_um, recorded.regions)
    except ValueError as error:
        raise run.fail(str(error), "Check the layout of the tray") from error
    arrays = {"t": measured.t, "o": measured.o, "sd_t": measured.sd_t, "sd_o": measured.sd_o,
              "chi2": measured.chi2, "names": np.asarray(measured.names)}  # fmt: skip
    run.show(arrays)
    values = tray_step.check(measured, run.limits)
    values |= {"air_scale_low": scale[0], "air_scale_high": scale[1]}
    return Outcome(values, arrays, f"{len(measured.names)} plates, χ² {values['chi2']:.2f}")


def prior(run: Run) -> Outcome:
    """Offset as a function of both transmissions."""
    a = run.arrays("tray")
    run.show(a)
    plates = tray_step.Plates(tuple(map(str, a["names"])), a["t"], a["o"], a["sd_t"], a["sd_o"], a["chi2"])
    fitted, values = tray_step.prior(plates, run.limits)
    arrays = {"coefficients": fitted.coefficients, "sd": fitted.sd}
    return Outcome(values, arrays, f"the plates follow it to {values['sd']:.4f}")
