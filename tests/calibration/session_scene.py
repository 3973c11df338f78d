"""Arrays of every step of a calibration run, made up: what the report draws."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from calibration.linearity import fit_linearisation
from calibration.session import SessionRecord, StepRecord
from tests.calibration.synthetic import PRIOR, SCANNER, counts, true_curves
from tests.calibration.test_linearity import wedge

Arrays = dict[str, npt.NDArray[Any]]
ROWS = SCANNER.rows
STEPS = ("pixels", "beam", "align", "curves", "working-point", "tray", "prior", "linearity", "regions", "verification")


def record(state: str = "passed") -> SessionRecord:
    """A run of all steps, simulated."""
    steps = [
        StepRecord.model_validate(
            {"step": name, "title": f"step {name}", "state": state, "values": {"bad_fraction": 0.001}, "exposures": 12,
             "started_ns": 10**18, "ended_ns": 10**18 + 3 * 10**9}
        )
        for name in STEPS
    ]  # fmt: skip
    return SessionRecord(
        id="20260102T030405Z", started_ns=10**18, operator="A <b>", host="box", simulated=True,
        scanner_json=SCANNER.model_dump_json(), limits={"max_bad_pixels": 0.02, "widths_um": (6.0, 25.0)}, steps=steps,
        bundle_id="cal-0123456789abcdef",
    )  # fmt: skip


def arrays(step: str) -> Arrays:
    """Arrays of one step, of the names and shapes that the routine stores."""
    rng = np.random.default_rng(5)
    made: dict[str, Any] = {
        "pixels": _pixels, "beam": _beam, "align": _align, "curves": _curves, "working-point": _working_point,
        "tray": _tray, "prior": lambda: {"coefficients": PRIOR.coefficients, "sd": PRIOR.sd}, "linearity": _linearity,
        "regions": lambda: {"names": np.array(["C4", "C4", "soap"]), "signals": rng.uniform(0.1, 1, (3, 2, 3))},
        "verification": _verification,
    }  # fmt: skip
    found: Arrays = made[step]()
    return found


def _pixels() -> Arrays:
    kinds = np.zeros((ROWS, 128), np.uint8)
    kinds[2, 5], kinds[3, 60], kinds[5, 100] = 1, 2, 3
    return {"kinds": kinds, "good": np.repeat((kinds == 0)[None], 2, axis=0).astype(np.uint8)}


def _beam() -> Arrays:
    current = np.array([0.25, 0.5, 1.0])
    return {
        "profile": np.ones((2, ROWS, 128), np.float32),
        "current_ma": current,
        "counts": np.stack([current, 0.7 * current]),
    }


def _align() -> Arrays:
    at = np.linspace(-20, 20, 9)
    seen = np.exp(-(at**2) / 400)
    return {"m1_rot_z_positions": at, "m1_rot_z_visibility": seen, "m1_x_positions": at, "m1_x_visibility": seen,
            "phase_before": np.linspace(-5, 5, ROWS), "phase_after": np.zeros(ROWS)}  # fmt: skip


def _curves() -> Arrays:
    positions = np.linspace(-40, 40, 21)
    fitted = true_curves()
    means = np.stack([counts(float(x)) for x in positions])
    return {"positions_um": positions, "means": means, "area": fitted.area, "centre": fitted.centre,
            "width": fitted.width, "floor": fitted.floor, "residual": np.full((2, ROWS), 0.003),
            "visibility": np.full((2, ROWS, 4), 0.8)}  # fmt: skip


def _working_point() -> Arrays:
    x0 = np.linspace(-15, 15, 13)
    sd = np.repeat(np.abs(x0 - 5)[:, None] + 1, 4, axis=1)
    return {"x0_um": x0, "sd_full": 100 / sd, "sd_map": 5 + 0 * sd}


def _tray() -> Arrays:
    t = np.stack([np.linspace(0.1, 0.9, 8), np.linspace(0.2, 0.95, 8)])
    return {"t": t, "o": t**0.65, "sd_o": np.full((2, 8), 0.004)}


def _linearity() -> Arrays:
    pair = [wedge(0.045, 8.0, 1), wedge(0.05, 1.5, 2)]
    correction = fit_linearisation(pair)
    found: Arrays = {"coefficients": correction.coefficients, "limit": correction.limit}
    for name, one in zip(("paper", "soap"), pair, strict=True):
        found |= {f"{name}_thickness_mm": one.thickness_mm, f"{name}_signals": one.signals, f"{name}_sd": one.sd}
    return found


def _verification() -> Arrays:
    found: Arrays = {"materials": np.array(["acrylic", "Al"]), "thickness_mm": np.array([5.0, 2.0])}
    for quantity in ("t", "dark_field"):
        for part in ("true", "map", "paper", "limit"):
            found[f"{quantity}_{part}"] = np.ones((2, 2))
    return found
