"""Golden vectors of the other acquisitions: detector correction, stepped masks, grating phase stepping."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from kernels import checks
from kernels.backends import Backend
from kernels.backends.acquisition import Stepping
from kernels.bench import scene
from kernels.frames import FULL_SCALE
from kernels.reference import correct, sinusoid, stepped
from kernels.reference.model import widen
from kernels.settings import BINS, COLUMNS, SETTINGS
from kernels.types import F32, F64, INFORMATIVE, Flag, IlluminationCurves

_Arrays = dict[str, Any]
#: A regular mask moved to five positions, µm; enough frames at each for an unambiguous solution.
POSITIONS_UM = (-22.0, -11.0, 0.0, 11.0, 22.0)
FRAMES = 2e4
PERIOD_UM, STEPS = 4.8, 5
_ROWS, _PIXELS = 3, 29


def correct_vectors() -> _Arrays:
    """Frames with masked and saturated pixels, dead times from none to what a tenth of the counts is lost to."""
    rng = np.random.default_rng(500)
    frames = rng.integers(0, 60000, (2, BINS, _ROWS, COLUMNS)).astype(np.uint16)
    frames[0, 0, 0, :4] = FULL_SCALE
    good = (rng.random((_ROWS, COLUMNS)) > 0.05).astype(np.uint8)
    dead_time = rng.uniform(0, 1.2e-7, (_ROWS, COLUMNS)).astype(np.float32)
    exposure = rng.uniform(6e-3, 9e-3, len(frames)).astype(np.float32)
    found: _Arrays = {"frames": frames, "good": good, "dead_time_s": dead_time, "exposure_s": exposure}
    wide = dead_time.astype(np.float64), exposure.astype(np.float64)
    for name, paralysable in (("plain", False), ("paralysable", True)):
        counts, flags = correct.correct_frames(frames, good, *wide, paralysable, FULL_SCALE)
        found |= {f"counts_{name}": counts, f"flags_{name}": flags}
    return found


def check_correct(engine: Backend, given: _Arrays) -> dict[str, float]:
    """Counts of both dead-time models, and flags."""
    counts, flags = 0.0, 0.0
    for name, paralysable in (("plain", False), ("paralysable", True)):
        found, marks = engine.correct_frames(
            given["frames"], given["good"], given["dead_time_s"], given["exposure_s"], FULL_SCALE, paralysable, 1
        )
        want = given[f"counts_{name}"]
        both = np.isnan(found) & np.isnan(want)
        counts = max(counts, largest((found - want)[~both], np.maximum(want[~both], 1.0)))
        flags += float((marks != given[f"flags_{name}"]).sum())
    return {"counts": counts, "flags": flags}


def stepped_vectors() -> _Arrays:
    """A regular mask: one curve for each row, five positions, o tied by the prior."""
    rng = np.random.default_rng(600)
    whole = scene.curves(_ROWS, rng)
    one = [np.ascontiguousarray(part[..., 1:2]) for part in (whole.area, whole.centre, whole.width)]
    one[1] -= np.float32(SETTINGS.pitch_um)
    curves = IlluminationCurves(one[0], one[1], one[2], whole.floor)
    truth = scene.truth(_ROWS, _PIXELS, rng)
    exposure = (FRAMES * rng.uniform(0.5, 1.5, (len(POSITIONS_UM), _PIXELS))).astype(np.float32)
    parts = [part[:, :, None] for part in widen(curves)]
    positions: F64 = np.array(POSITIONS_UM)
    mean, _ = stepped.evaluate(
        (parts[0], parts[1], parts[2], parts[3]), positions, SETTINGS.pitch_um, np.moveaxis(truth, 0, -1)
    )
    samples: F32 = rng.poisson(np.moveaxis(mean, -1, 0) * exposure[:, None, None, :]).astype(np.float32)
    samples[1, 0, 0, 3], samples[2, 1, 1, 4] = np.nan, 0.0
    factor = np.ones(_PIXELS, np.float32)
    images, sigma, flags = stepped.retrieve_stepped(
        samples.astype(np.float64), curves, positions, SETTINGS.pitch_um, exposure.astype(np.float64),
        factor.astype(np.float64), "map", scene.PRIOR,
    )  # fmt: skip
    packed = np.concatenate([*one, whole.floor[..., None]], axis=-1)
    return {
        "samples": samples,
        "curves": np.ascontiguousarray(np.moveaxis(packed, -1, 0)[..., None]),
        "positions_um": positions.astype(np.float32),
        "exposure": exposure,
        "variance_factor": factor,
        "prior": checks.prior("prior", scene.PRIOR),
        "images": images,
        "sigma": sigma,
        "flags": flags,
    }


def check_stepped(engine: Backend, given: _Arrays) -> dict[str, float]:
    """Images in units of their own σ, σ, and pixels whose flags are wrong."""
    found = engine.retrieve_stepped(
        given["samples"], given["curves"], given["positions_um"], SETTINGS.pitch_um, given["exposure"],
        given["variance_factor"], given["prior"], 1,
    )  # fmt: skip
    return _images(found, given)


def sinusoid_vectors() -> _Arrays:
    """Five steps of a grating with and without a sample."""
    rng = np.random.default_rng(700)
    pixels = BINS * _ROWS * _PIXELS
    at = PERIOD_UM * np.arange(STEPS) / STEPS
    matrix = sinusoid.design(at, PERIOD_UM, np.ones(STEPS))

    def fringes(mean: F64) -> F32:
        centre, visibility = rng.uniform(-2, 2, pixels), rng.uniform(0.2, 0.7, pixels)
        wave = mean * (1 + visibility * np.cos(2 * np.pi * (at[:, None] - centre) / PERIOD_UM))
        return rng.poisson(wave).astype(np.float32)

    flat, samples = fringes(np.full(pixels, 2e4)), fringes(2e4 * rng.uniform(0.2, 1, pixels))
    samples[1, 3], samples[2, 4] = np.nan, -1.0
    images, sigma, flags = sinusoid.retrieve_sinusoid(
        samples.astype(np.float64), matrix, flat.astype(np.float64), matrix, PERIOD_UM, 1.0
    )
    basis = np.ascontiguousarray(matrix.T, dtype=np.float32)
    return {
        "samples": samples,
        "reference": flat,
        "basis": basis,
        "projection": np.ascontiguousarray(np.linalg.pinv(matrix), dtype=np.float32),
        "images": images,
        "sigma": sigma,
        "flags": flags,
    }


def check_sinusoid(engine: Backend, given: _Arrays) -> dict[str, float]:
    """Images in units of their own σ, σ, and pixels whose flags are wrong."""
    seen, flat = (Stepping(given[name], given["projection"], given["basis"]) for name in ("samples", "reference"))
    return _images(engine.retrieve_sinusoid(seen, flat, PERIOD_UM, 1.0, 1), given)


def _images(found: tuple[F32, F32, npt.NDArray[np.uint16]], given: _Arrays) -> dict[str, float]:
    images, sigma, flags = found
    plain = (given["flags"] & ~np.uint16(INFORMATIVE)) == 0
    want, want_sigma = given["images"][:, plain], given["sigma"][:, plain]
    bad = (given["flags"] & Flag.BAD_INPUT) != 0
    wrong = ((flags & Flag.BAD_INPUT) != 0) != bad
    wrong |= np.isnan(images).all(axis=0) != bad
    wrong |= plain & ((flags & ~np.uint16(INFORMATIVE)) != 0)
    return {
        "value": largest(images[:, plain] - want, want_sigma),
        "sigma": largest(sigma[:, plain] - want_sigma, want_sigma),
        "flags": float(wrong.sum()),
    }


def largest(difference: npt.ArrayLike, unit: npt.ArrayLike) -> float:
    """Largest |difference| / unit; NaN is infinite."""
    with np.errstate(all="ignore"):
        scaled = np.abs(np.asarray(difference, dtype=np.float64)) / np.asarray(unit, dtype=np.float64)
    return float(np.where(np.isnan(scaled), np.inf, scaled).max(initial=0.0))
