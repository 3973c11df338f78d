"""Accuracy of the retrieval on simulated counts: ``python -m kernels.accuracy docs/kernels.md`` makes its tables anew.

Samples are Poisson draws of pixels that follow equation (2) exactly. What is shown is a property of the estimator and
of the model, not a validation against measurements.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from kernels.reference import prior as prior_reference
from kernels.reference import retrieval as reference
from kernels.reference.model import evaluate, widen
from kernels.retrieval import retrieve
from kernels.settings import BINS, GROUPS, SETTINGS
from kernels.types import F64, INFORMATIVE, Flag, IlluminationCurves, Model, OffsetPrior, Retrieval

#: t (low, high), Δ µm, τ² µm² (low, high).
SCENES = {
    "air": ((1.0, 1.0), 0.0, (0.0, 0.0)),
    "typical": ((0.55, 0.70), 0.6, (150.0, 25.0)),
    "strong dark-field": ((0.60, 0.75), -1.0, (700.0, 150.0)),
    "dense": ((0.05, 0.16), 0.5, (100.0, 20.0)),
    "edge": ((0.70, 0.80), 6.0, (100.0, 20.0)),
}
POINTS_UM = (-5.0, 0.0, 15.0)
COUNTS = (1e3, 1e4, 1e5, 1e6)
SHIFTS_UM = (-10.0, 0.0, 10.0, 20.0)
WIDTH_UM = 12.07
#: Floor as a fraction of peak and floor; the curves have a height of one count.
FLOOR = (0.04, 0.32)
PRIOR = OffsetPrior(np.array([[-0.6, -0.9, -0.02, 0.01, 0.0], [-0.1, -0.7, 0.0, 0.0, -0.01]]), np.array([2e-3, 2e-3]))
#: Ranges of the true τ² of the low bin that random pixels are drawn from.
RANGES_UM2 = ((0.0, 1200.0), (1200.0, 1800.0), (1800.0, 3000.0))
#: Around the tables in the page.
MARKS = ("<!-- accuracy: made by python -m kernels.accuracy -->", "<!-- accuracy: end -->")
PIXELS = 20_000
DRAWS = 500_000
#: Of the random draws; every one gives a million values. Constants were chosen on others, 1000 to 3302.
SEEDS = (100, 200, 300, 400, 500)
#: With o free the bound describes the spread where σ(o) is well inside the range of o and σ(τ²) well inside the curve.
REGULAR_OFFSET = 0.1
REGULAR_SPREAD = 0.1


@dataclass(frozen=True)
class Row:
    """One scene, bin and number of counts: the worst of the four unknowns, over pixels without a fault."""

    scene: str
    bin: int
    counts: float
    x_um: float
    flagged: float
    skewed: float  # part with SKEWED alone: they are among those that count here
    bias: float  # in units of the bound
    spread: float  # furthest from 1
    coverage: tuple[float, float]
    regular: bool  # the bound is a fair one


def ideal_curves() -> IlluminationCurves:
    """One row of curves without faults."""
    shape = (BINS, 1, GROUPS)
    centre = np.broadcast_to(SETTINGS.pitch_um * np.arange(GROUPS) + np.array(SHIFTS_UM), shape)
    floor = np.array([[f / (1 - f)] for f in FLOOR])
    parts = (np.full(shape, np.sqrt(2 * np.pi) * WIDTH_UM), centre, np.full(shape, WIDTH_UM), floor)
    return IlluminationCurves(*(np.ascontiguousarray(p, dtype=np.float32) for p in parts))


def expected(truth: F64, counts: F64, x_um: float) -> F64:
    """Expected samples (4, 2, 1, n) of ``truth`` (4, 2, 1, n) at ``counts`` (n,) at the peak."""
    area, centre, width, floor = (part[:, :, None] for part in widen(ideal_curves()))
    model, _ = evaluate((area, centre, width, floor), x_um, np.moveaxis(truth, 0, -1), "full")
    samples: F64 = np.moveaxis(model, -1, 0) * counts
    return samples


def _retrieved(
    truth: F64, counts: F64, x_um: float, model: Model, rng: np.random.Generator
) -> tuple[F64, Retrieval, npt.NDArray[np.bool_]]:
    """True values, with o scattered as the prior has it, the retrieval, and where it is not flagged (2, 1, n)."""
    truth = truth.copy()
    if model == "map":
        truth[3] += PRIOR.sd[:, None, None] * rng.standard_normal(truth[3].shape)
    samples = rng.poisson(expected(truth, counts, x_um)).astype(np.float32)
    exposure = counts.astype(np.float32)
    result = retrieve(samples, ideal_curves(), x_um, exposure=exposure, model=model, prior=PRIOR, backend="host")
    return truth, result, (result.flags & ~np.uint16(INFORMATIVE)) == 0


def scene_rows(name: str, counts: float, x_um: float, model: Model, pixels: int = PIXELS) -> list[Row]:
    """Statistics of both bins of a scene."""
    t, shift, dark_field = SCENES[name]
    one = np.zeros((4, BINS, 1, 1))
    one[0, :, 0, 0], one[1], one[2, :, 0, 0] = t, shift, dark_field
    one[3] = prior_reference.predict(PRIOR, one[0])[0]
    many = np.repeat(one, pixels, axis=3)
    gains = np.full(pixels, counts)
    truth, result, good = _retrieved(many, gains, x_um, model, np.random.default_rng(5))
    exact = expected(one, gains[:1], x_um)
    bound = reference.retrieve(exact, ideal_curves(), x_um, gains[:1], np.ones(1), model, PRIOR, one, False)[1]
    error = result.images - truth
    rows = []
    for b in range(BINS):
        kept = good[b, 0]
        scaled = error[:, b, 0][:, kept] / bound[:, b, 0]
        inside = (np.abs(error) < result.sigma)[:, b, 0][:, kept]
        blurred = WIDTH_UM**2 + dark_field[b]
        skewed = float((good[b, 0] & ((result.flags[b, 0] & int(Flag.SKEWED)) != 0)).mean())
        free = bound[3, b, 0, 0] < REGULAR_OFFSET and bound[2, b, 0, 0] < REGULAR_SPREAD * blurred
        if kept.sum() < pixels // 2:
            rows.append(Row(name, b, counts, x_um, 1 - kept.mean(), skewed, np.nan, np.nan, (np.nan, np.nan), False))
            continue
        spread, covered = scaled.std(axis=1), inside.mean(axis=1)
        rows.append(
            Row(
                name,
                b,
                counts,
                x_um,
                1 - kept.mean(),
                skewed,
                float(np.abs(scaled.mean(axis=1)).max()),
                float(spread[np.abs(spread - 1).argmax()]),
                (float(covered.min()), float(covered.max())),
                model == "map" or bool(free),
            )
        )
    return rows


def random_outliers(
    model: Model, dark_field: tuple[float, float], draws: int = DRAWS, seed: int = SEEDS[0]
) -> tuple[float, int, int]:
    """Random pixels of τ² (low bin) in a range: part that is flagged, values that are not, and of these those wrong
    by more than 5 of their σ in any unknown. A value is one bin of a pixel; 1e3 to 1e6 counts at the peak."""
    wrong = kept = 0
    for k, x_um in enumerate(POINTS_UM):
        rng = np.random.default_rng(seed + k)
        n = draws // len(POINTS_UM)
        truth = np.zeros((4, BINS, 1, n))
        low, tau2 = rng.uniform(0.05, 1.0, n), rng.uniform(*dark_field, n)
        truth[0, :, 0] = low, low**0.6
        truth[1, :, 0] = np.clip(rng.normal(0, 3.0, (BINS, n)), -12.0, 12.0)
        truth[2, :, 0] = tau2, 0.25 * tau2
        truth[3] = prior_reference.predict(PRIOR, truth[0])[0]
        truth, result, good = _retrieved(truth, 10 ** rng.uniform(3, 6, n), x_um, model, rng)
        good = good & ((result.flags & int(Flag.SKEWED)) == 0)
        off = (np.abs(result.images - truth) > 5 * result.sigma).any(axis=0)
        kept += int(good.sum())
        wrong += int((off & good).sum())
    return 1 - kept / (len(POINTS_UM) * n * BINS), kept, wrong


def _lines(model: Model) -> Iterator[str]:
    yield f"| `{model}` | counts | flagged | skewed | bias | spread | coverage |"
    yield "|---|---|---|---|---|---|---|"
    for name in SCENES:
        for counts in COUNTS:
            rows = [r for x in POINTS_UM for r in scene_rows(name, counts, x, model) if r.regular]
            if not rows:
                yield f"| {name} | {counts:.0e} | no regular case | | | | |"
                continue
            spread = [r.spread for r in rows]
            low, high = min(r.coverage[0] for r in rows), max(r.coverage[1] for r in rows)
            part = "" if model == "map" else f" ({len(rows)} of 6)"
            yield (
                f"| {name}{part} | {counts:.0e} | {max(r.flagged for r in rows):.3f} | "
                f"{max(r.skewed for r in rows):.3f} | "
                f"{max(r.bias for r in rows):.2f} | {min(spread):.2f} – {max(spread):.2f} | {low:.3f} – {high:.3f} |"
            )


def tables() -> str:
    """The tables of docs/kernels.md."""
    models: tuple[Model, ...] = ("map", "full")
    parts = ["\n".join(_lines(model)) + "\n" for model in models]
    last = [
        "| model | true τ² (low bin), µm² | seed | flagged or skewed | values that are neither "
        "| wrong by more than 5 σ |",
        "|---|---|---|---|---|---|",
    ]
    for model in models:
        for limits in RANGES_UM2:
            for seed in SEEDS:
                flagged, kept, wrong = random_outliers(model, limits, seed=seed)
                where = f"`{model}` | {limits[0]:.0f} – {limits[1]:.0f} | {seed}"
                last.append(f"| {where} | {flagged:.3f} | {kept} | {wrong} |")
    return "\n".join([*parts, *last]) + "\n"


def write(page: Path, text: str) -> None:
    """Put ``text`` between the two marks of ``page``. Raises ValueError where they are missing."""
    old = page.read_text(encoding="utf-8")
    before, found, rest = old.partition(MARKS[0])
    _, also, after = rest.partition(MARKS[1])
    if not (found and also):
        raise ValueError(f"{page}: has no {MARKS[0]} … {MARKS[1]}; put both where the tables belong")
    page.write_text(f"{before}{MARKS[0]}\n{text}{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    made = tables()
    print(made, end="")
    for name in sys.argv[1:]:
        write(Path(name), made)
