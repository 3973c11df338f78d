"""The steps of ``--full``: linearisation from wedges, reference samples, verification on a phantom no fit has seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from calibration import strip
from calibration.bundle import References
from calibration.certificate import Certificate
from calibration.linearity import ATTENUATION, DARK_FIELD, Linearisation, WedgeSteps, bend, fit_linearisation, linearise
from calibration.response import Response
from calibration.routine import Outcome, Run
from calibration.step_curves import stored
from firmware_bridge.reference_strips import STRIPS


def linearity(run: Run) -> Outcome:
    """Thickness linearisation of what the retrieval returns."""
    signals, sd = strip.signals(strip.retrieve(run, strip.scan(run, "wedges"), "map"))
    names = [name for name, _ in STRIPS["wedges"]]
    wedges: dict[str, WedgeSteps] = {}
    for name in dict.fromkeys(names):
        mine = [k for k, other in enumerate(names) if other == name]
        thickness = np.asarray([STRIPS["wedges"][k][1] for k in mine])
        wedges[name] = WedgeSteps(thickness, signals[..., mine], sd[..., mine])
    arrays: dict[str, Any] = {}
    for name, wedge in wedges.items():
        arrays |= {f"{name}_thickness_mm": wedge.thickness_mm, f"{name}_signals": wedge.signals, f"{name}_sd": wedge.sd}
    run.show(arrays)
    try:
        correction = fit_linearisation(list(wedges.values()))
    except ValueError as error:
        raise run.fail(
            str(error), "Clean the wedges, lay them with the thin step first, and calibrate again"
        ) from error
    arrays |= {"coefficients": correction.coefficients, "limit": correction.limit}
    run.show(arrays)
    before, after = _bends(wedges, None), _bends(wedges, correction)
    if after[ATTENUATION] > run.limits.max_bend:
        raise run.fail(
            f"−ln t of the wedges bends by {100 * after[ATTENUATION]:.1f} % after linearisation, "
            f"{100 * run.limits.max_bend:g} % is allowed",
            "A wedge is not the one of the drawing: check the order of the blocks, and that they are clean",
        )
    values = {"bend_attenuation_before": before[ATTENUATION], "bend_attenuation": after[ATTENUATION],
              "bend_dark_field_before": before[DARK_FIELD], "bend_dark_field": after[DARK_FIELD]}  # fmt: skip
    return Outcome(values, arrays, f"−ln t bends by {100 * after[ATTENUATION]:.1f} % at most, linearised")


def _bends(wedges: dict[str, WedgeSteps], correction: Linearisation | None) -> tuple[float, float]:
    """Largest non-linearity of −ln t, and of τ² of the strongest scatterer, over both bins."""
    found: list[list[float]] = []
    strongest = max(wedges, key=lambda name: float(wedges[name].signals[DARK_FIELD].max()))
    for s, chosen in ((ATTENUATION, wedges), (DARK_FIELD, {strongest: wedges[strongest]})):
        row = []
        for wedge in chosen.values():
            signals = wedge.signals if correction is None else linearise(correction, wedge.signals)
            row += [bend(wedge.thickness_mm, signals[s, b], wedge.sd[s, b]) for b in range(signals.shape[1])]
        found.append(row)
    return max(found[0]), max(found[1])


def stored_linearisation(run: Run) -> Linearisation:
    """That of this run."""
    arrays = run.arrays("linearity")
    return Linearisation(arrays["coefficients"], arrays["limit"])


def regions(run: Run) -> Outcome:
    """Linearised signals of the reference samples: the regions of the ratio space."""
    signals, sd = strip.signals(strip.retrieve(run, strip.scan(run, "samples"), "map"))
    straight = linearise(stored_linearisation(run), signals)
    names = [name for name, _ in STRIPS["samples"]]
    arrays = {"names": np.asarray(names), "signals": straight, "sd": sd}
    return Outcome({"samples": float(len(names))}, arrays, f"{len(names)} reference samples")


def stored_references(run: Run) -> References:
    """Those of this run."""
    arrays = run.arrays("regions")
    return References(tuple(str(name) for name in arrays["names"]), np.asarray(arrays["signals"], np.float64))


def verification(run: Run) -> Outcome:
    """Compare what the lane measures of the phantom with its certificate."""
    if run.certificate is None:
        raise run.fail("there is no certificate of the phantom", "Set calibration.phantom_certificate to its file")
    certificate: Certificate = run.certificate
    recorded = strip.scan(run, "phantom")
    found, paper = strip.retrieve(run, recorded, "map"), strip.retrieve(run, recorded, "paper")
    scan = run.arrays("scan")
    response = Response(
        run.scanner, scan["positions_um"], scan["means"], stored(run), strip.prior_of(run),
        run.settings.working_point_um, found.exposure,
    )  # fmt: skip
    t, dark = response.true(found.mean[0], found.mean[1])
    t_limit = run.limits.max_t_error * certificate.t
    dark_limit = np.maximum(run.limits.max_dark_field_error * np.abs(certificate.dark_field), 3 * found.sd[1])
    arrays = {
        "materials": np.asarray(certificate.materials), "thickness_mm": np.asarray(certificate.thickness_mm),
        "t_true": certificate.t, "t_map": t, "t_raw": found.mean[0], "t_paper": paper.mean[0], "t_limit": t_limit,
        "dark_field_true": certificate.dark_field, "dark_field_map": dark, "dark_field_raw": found.mean[1],
        "dark_field_paper": paper.mean[1], "dark_field_limit": dark_limit,
        "t_sd": found.sd[0], "dark_field_sd": found.sd[1],
    }  # fmt: skip
    run.show(arrays)
    off_t, off_dark = np.abs(t - certificate.t) / t_limit, np.abs(dark - certificate.dark_field) / dark_limit
    values = {
        "blocks": float(t.shape[1]),
        "t_error": float(np.abs(t / certificate.t - 1).max()),
        "dark_field_over_limit": float(off_dark.max()),
        "outside": float(((off_t > 1) | (off_dark > 1)).sum()),
    }
    if values["outside"] > run.limits.max_outside:
        b, k = np.unravel_index(int(np.argmax(np.maximum(off_t, off_dark))), off_t.shape)
        raise run.fail(
            f"{values['outside']:.0f} of {2 * t.shape[1]} values of the phantom are outside their limits, the worst "
            f"{certificate.materials[k]} {certificate.thickness_mm[k]:g} mm: t {t[b, k]:.4f} for "
            f"{certificate.t[b, k]:.4f}, τ² {dark[b, k]:.2f} for {certificate.dark_field[b, k]:.2f} µm²",
            "Clean the phantom and its certificate's order of blocks; if they are right, calibrate again from --fresh",
        )
    return Outcome(values, arrays, f"t within {100 * values['t_error']:.2f} %, all of τ² within its limit")
