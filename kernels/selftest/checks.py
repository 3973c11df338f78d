"""What each golden vector is compared by, and the differences that are tolerated.

An engine is a back end, or the host back end held to one instruction set. A comparison is a dictionary of differences,
each in the unit of its entry in ``TOLERANCES``; NaN where only one side is a number counts as infinite.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.backends import Backend, backends, get
from kernels.backends.host import HostBackend, instruction_sets
from kernels.selftest.acquisition import check_correct, check_sinusoid, check_stepped, largest
from kernels.selftest.golden import GRID_UM, MODELS
from kernels.settings import BINS, SETTINGS
from kernels.types import INFORMATIVE, Flag

Arrays = dict[str, Any]
Differences = dict[str, float]

#: Largest difference that passes, by what is compared; the second column says in what unit.
TOLERANCES: dict[str, tuple[float, str]] = {
    "value": (5e-3, "1-σ"),
    "sigma": (5e-3, "relative"),
    "flags": (0.0, "pixels"),
    "sums": (1e-6, "of the largest"),
    "counts": (1e-5, "relative"),
    "ratio": (1e-5, "relative"),
    "ratio sigma": (1e-5, "relative"),
    "curve": (1e-5, "of area, width, pitch or peak"),
    "residual": (1e-3, "relative"),
}


def engines() -> dict[str, Callable[[], Backend]]:
    """Everything on this machine that computes, by name; called, it is made ready."""
    found: dict[str, Callable[[], Backend]] = {
        f"host {isa}": lambda isa=isa: HostBackend(isa)  # type: ignore[misc]
        for isa in instruction_sets()
    }
    if "cuda" in backends():
        found["cuda"] = lambda: get("cuda")
    return found


def check_retrieval(engine: Backend, given: Arrays, model: int) -> Differences:
    """Images in units of their own σ, σ, and pixels whose flags are wrong."""
    images, sigma, flags = engine.retrieve(
        given["samples"],
        given["curves"],
        float(given["x0_um"]),
        given["exposure"],
        given["variance_factor"],
        model,
        given["prior"],
        1,
    )
    plain = given["compared"]
    want, want_sigma = given["images"][:, plain], given["sigma"][:, plain]
    bad = (given["flags"] & Flag.BAD_INPUT) != 0
    blank = np.isnan(images).all(axis=0) & np.isnan(sigma).all(axis=0)
    wrong = ((flags & Flag.BAD_INPUT) != 0) != bad
    wrong |= blank != bad
    wrong |= plain & ((flags & ~np.uint16(INFORMATIVE)) != 0)
    return {
        "value": largest(images[:, plain] - want, want_sigma),
        "sigma": largest(sigma[:, plain] - want_sigma, want_sigma),
        "flags": float(wrong.sum()),
    }


def check_phase_sums(engine: Backend, given: Arrays) -> Differences:
    """Sums over the largest of them."""
    place = (given["travel_um"][:, None] - given["offsets_um"]) / GRID_UM
    lower = np.floor(place)
    rows, columns = given["sums"].shape[2:]
    window = engine.window(rows, columns)
    window.clear()
    fraction = (place - lower).astype(np.float32)
    window.add(given["frames"], np.maximum(lower, -2).astype(np.int32), fraction, given["good"], 1)
    found = window.take(columns, columns)
    return {"sums": largest(found - given["sums"], given["sums"].max())}


def check_ratios(engine: Backend, given: Arrays) -> Differences:
    """Values and σ; what is undetermined must be NaN on both sides."""
    count = given["images"].shape[2]
    images, sigma = (given[name].reshape(4 * BINS, count) for name in ("images", "sigma"))
    found = engine.ratio_images(images, sigma, 1)
    differences: Differences = {}
    for name, got, key in zip(("ratio", "ratio sigma"), found, ("values", "errors"), strict=True):
        want = given[key]
        both = np.isnan(want) & np.isnan(got)
        differences[name] = largest((got - want)[~both], np.maximum(np.abs(want[~both]), 1e-3))
    return differences


def check_curve_fit(engine: Backend, given: Arrays, paper: bool) -> Differences:
    """Areas and widths relative, centres in pitches, floors in peaks; and the residual."""
    fitted, residual = engine.fit_curves(
        given["positions_um"], given["flats"], given["start"], given["least"], paper, 1
    )
    want = given["parameters"]
    unit = np.abs(want).copy()
    unit[4:8] = SETTINGS.pitch_um
    unit[12] = 1.0  # scans are in units of their highest count
    return {
        "curve": largest(fitted - want, unit),
        "residual": largest(residual - given["residual"], given["residual"]),
    }


def compare(engine: Backend, name: str, given: Arrays) -> Differences:
    """Differences of one engine for the golden vectors of one file."""
    if name.startswith("retrieve_"):
        return check_retrieval(engine, given, [f"retrieve_{model}" for model in MODELS].index(name))
    if name.startswith("curve_fit_"):
        return check_curve_fit(engine, given, name == "curve_fit_paper")
    return _CHECKS[name](engine, given)


_CHECKS: dict[str, Callable[[Backend, Arrays], Differences]] = {
    "phase_sums": check_phase_sums,
    "ratios": check_ratios,
    "correct_frames": check_correct,
    "stepped": check_stepped,
    "sinusoid": check_sinusoid,
}
