"""Golden vectors: inputs and what the float64 references make of them, committed as small .npz files.

``python -m kernels.selftest.golden`` computes them anew, from seeds; results change only when a reference does.
Inputs are simulated. Retrieval vectors compare pixels whose solution is unique: no flag, and the reference finds the
same from wherever it starts. With o free some pixels have two exact roots; either would be right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kernels import checks
from kernels.bench import scene
from kernels.reference import curve_fit, phase_sums, ratios, retrieval
from kernels.selftest import acquisition
from kernels.settings import BINS, COLUMNS, GROUPS
from kernels.types import F64, INFORMATIVE, IlluminationCurves, Model

FOLDER = Path(__file__).parent / "golden"
MODELS: tuple[Model, ...] = ("paper", "full", "map")
GRID_UM = 300.0
#: Counts at the peak: with o free a float32 fit needs many for a solution far from every bound.
_COUNTS = {"paper": 2e6, "full": 2e6, "map": 2e4}
#: Where the reference starts, too: factors of the true t and o, and τ² in µm².
_STARTS = tuple((t, o, tau2) for t in (0.6, 1.4) for o in (0.4, 1.0, 2.0) for tau2 in (0.0, 300.0))
_ROWS, _COLUMNS = 3, 29  # no multiple of any vector width
_Arrays = dict[str, Any]


def retrieve_vectors(model: Model) -> _Arrays:
    """Samples, curves, exposure, and the reference's images, σ and flags."""
    rng = np.random.default_rng(100 + MODELS.index(model))
    scanner = scene.curves(_ROWS, rng)
    truth = scene.truth(_ROWS, _COLUMNS, rng)
    exposure = (_COUNTS[model] / scene.PEAK[0] * rng.uniform(0.5, 1.5, _COLUMNS)).astype(np.float32)
    factor = rng.uniform(0.5, 1.5, _COLUMNS).astype(np.float32)
    samples = np.ascontiguousarray(rng.poisson(scene.expected(scanner, truth, exposure, model)), dtype=np.float32)
    samples[1, 0, 0, 3], samples[2, 1, 1, 4], samples[0, 0, 2, 5] = np.nan, 0.0, 3e9
    wide = (samples.astype(np.float64), scanner, scene.X0_UM, exposure.astype(np.float64), factor.astype(np.float64))
    images, sigma, flags = retrieval.retrieve(*wide, model, scene.PRIOR)
    unique = np.ones(flags.shape, dtype=bool)
    for t, o, tau2 in _STARTS:
        start = truth * np.array([t, 1.0, 0.0, o])[:, None, None, None]
        start[2] = tau2
        again, _, _ = retrieval.retrieve(*wide, model, scene.PRIOR, start)
        with np.errstate(invalid="ignore"):
            unique &= (np.abs(images - again) < 1e-4 * sigma).all(axis=0)
    clean = (flags & ~np.uint16(INFORMATIVE)) == 0
    return {
        "samples": samples,
        "curves": checks.curves("curves", scanner),
        "prior": checks.prior("prior", scene.PRIOR),
        "x0_um": np.float64(scene.X0_UM),
        "exposure": exposure,
        "variance_factor": factor,
        "images": images,
        "sigma": sigma,
        "flags": flags,
        "compared": clean & unique,
    }


def phase_sums_vectors() -> _Arrays:
    """Frames at their belt travel with bad pixels; parts fall off both ends of the window."""
    rng = np.random.default_rng(200)
    rows, count, columns = 5, 4, 41
    frames = rng.integers(0, 4096, (count, BINS, rows, COLUMNS)).astype(np.uint16)
    good = (rng.random((BINS, rows, COLUMNS)) > 0.05).astype(np.uint8)
    at = np.arange(COLUMNS)
    offsets = 75.0 * at + np.asarray(scene.SHIFTS_UM)[at % GROUPS]
    travel = np.linspace(4000.0, 15000.0, count)
    sums, _, _ = phase_sums.phase_sums(frames, travel, offsets, good, GRID_UM, 0.0, columns)
    return {"frames": frames, "good": good, "travel_um": travel, "offsets_um": offsets, "sums": sums}


def ratios_vectors() -> _Arrays:
    """Images and σ (4, 2, n), some denominators within 3 σ of zero."""
    rng = np.random.default_rng(300)
    images = rng.normal(0.7, 0.4, (4, BINS, 200)).astype(np.float32)
    sigma = np.full_like(images, 0.05)
    values, errors = ratios.ratios(images.astype(np.float64), sigma.astype(np.float64))
    return {"images": images, "sigma": sigma, "values": values, "errors": errors}


def curve_fit_vectors(model: Model) -> _Arrays:
    """Poisson mask scans of some rows, the first guess, and the 13 parameters that the reference fits."""
    rng = np.random.default_rng(400)
    lines = 5
    scanner = scene.curves(lines, rng)
    positions = np.arange(-40.0, 40.1, 2.5).astype(np.float32)
    scans, starts, fitted, residual = [], [], [], []
    for row in range(lines):
        truth = _parameters(scanner, row)
        mean, _ = curve_fit.model_of_scan(positions.astype(np.float64), truth, model)
        drawn = rng.poisson(mean * 5e4)
        scan = (drawn / drawn.max()).astype(np.float32)
        wide: F64 = scan.astype(np.float64)
        starts.append(curve_fit.start(positions.astype(np.float64), wide))
        p, rms = curve_fit.fit(positions.astype(np.float64), wide, model)
        scans.append(scan)
        fitted.append(p)
        residual.append(rms)
    return {
        "positions_um": positions,
        "flats": np.ascontiguousarray(np.stack(scans, axis=-1)),
        "start": np.stack(starts, axis=1).astype(np.float32),
        "least": np.full(lines, curve_fit.LEAST_WEIGHT, dtype=np.float32),
        "parameters": np.stack(fitted, axis=1),
        "residual": np.array(residual),
    }


def _parameters(scanner: IlluminationCurves, row: int) -> F64:
    parts = (scanner.area[0, row], scanner.centre[0, row], scanner.width[0, row], scanner.floor[0, row : row + 1])
    return np.concatenate(parts).astype(np.float64)


def every() -> dict[str, _Arrays]:
    """All golden vectors by file name."""
    found = {f"retrieve_{model}": retrieve_vectors(model) for model in MODELS}
    found |= {"phase_sums": phase_sums_vectors(), "ratios": ratios_vectors()}
    for model in MODELS[:2]:
        found[f"curve_fit_{model}"] = curve_fit_vectors(model)
    found |= {"correct_frames": acquisition.correct_vectors(), "sinusoid": acquisition.sinusoid_vectors()}
    return found | {"stepped": acquisition.stepped_vectors()}


def load(name: str, folder: Path = FOLDER) -> _Arrays:
    """The arrays of one file. Raises OSError or ValueError when it is missing or damaged."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def write(folder: Path = FOLDER) -> None:
    """Compute and save all golden vectors."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arrays in every().items():
        np.savez_compressed(folder / f"{name}.npz", **arrays)


if __name__ == "__main__":
    write()
