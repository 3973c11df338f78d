"""A strip of known materials through the beam: t, τ² and o of every block, by the retrieval that the lane uses.

The columns of a block are summed before the retrieval, row by row, and the air before the strip is taken out of the
result: t and o are divided by its values, τ² has them subtracted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import kernels
from calibration.air import output_scale
from calibration.pixels import live_rows
from calibration.routine import Run
from calibration.step_curves import stored
from calibration.tray import Plate, Tray
from calibration.tray_pass import RecordedTray, record_tray
from firmware_bridge.reference_strips import STRIPS, block_mm, length_mm
from kernels.types import INFORMATIVE, Flag, Model, OffsetPrior

F64 = npt.NDArray[np.float64]

#: Places of t, τ² and o in a retrieval.
USED = (0, 2, 3)


class Blocks(NamedTuple):
    """Means over the rows and their 1-σ: (3 of t, τ², o; 2 bins; n blocks) each; ``exposure``: counts of a block over
    those of the curves."""

    mean: F64
    sd: F64
    exposure: float


def drawing(strip: str, height_mm: float) -> Tray:
    """The strip as the light barrier and the field see it."""
    plates = []
    for k, (name, thickness) in enumerate(STRIPS[strip]):
        plates.append(Plate(f"{name} {thickness:g} mm", block_mm(k), (-1.0, height_mm + 1.0)))
    return Tray(length_mm(strip), tuple(plates), name=f"strip '{strip}'")


def scan(run: Run, strip: str) -> RecordedTray:
    """Send the strip through the beam."""
    run.light()
    run.place(run.settings.working_point_um)
    return record_tray(
        run.recorder,
        run.devices.belt,
        run.scanner,
        tray=drawing(strip, run.scanner.rows * run.scanner.row_pitch_um / 1e3),
        good=run.arrays("scan")["good"],
        settings=run.settings,
        limits=run.limits,
        tick=run.say,
    )


def prior_of(run: Run) -> OffsetPrior:
    """The offset prior of this run."""
    fitted = run.arrays("prior")
    return OffsetPrior(fitted["coefficients"], fitted["sd"])


def retrieve(run: Run, recorded: RecordedTray, model: Model) -> Blocks:
    """t, τ² and o of every block with ``model``."""
    x0_um, good = run.settings.working_point_um, run.arrays("scan")["good"]
    curves = stored(run, "paper_" if model == "paper" else "")
    modelled = kernels.flat_model(curves, x0_um, model)
    samples, exposure, _ = kernels.normalise(*recorded.sums, run.arrays("flat")["flat"], good, modelled)
    air = recorded.air_columns
    scale = output_scale(samples[..., :air], exposure[:air], modelled)
    samples = samples / np.asarray(scale, np.float32)[:, None, None]
    spans = [(r.column0, r.column1) for r in recorded.regions] + [(0, air)]
    summed = np.stack([samples[..., a:b].sum(axis=-1) for a, b in spans], axis=-1)
    seen = np.asarray([exposure[a:b].sum() for a, b in spans])
    found = kernels.retrieve(
        np.ascontiguousarray(summed, np.float32), curves, x0_um, exposure=seen, model=model, prior=prior_of(run)
    )
    bad = (found.flags & ~np.uint16(INFORMATIVE | Flag.NO_EXACT_ROOT)) != 0
    images: Any = np.where(bad[None], np.nan, found.images)[list(USED)][:, :, live_rows(good)].astype(np.float64)
    values, beside = images[..., :-1], images[..., -1:]
    values = np.stack([values[0] / beside[0], values[1] - beside[1], values[2] / beside[2]])
    count = np.isfinite(values).sum(axis=2)
    if not (count > 1).all():
        raise run.fail("a block of the strip has no usable row", "Check the pixel map and the place of the strip")
    sd = np.nanstd(values, axis=2, ddof=1) / np.sqrt(count)
    return Blocks(np.nanmean(values, axis=2), sd, float(np.median(seen)))


def signals(blocks: Blocks) -> tuple[F64, F64]:
    """−ln t, τ², −ln o and their 1-σ: (3, 2, n) each."""
    (t, dark, o), (sd_t, sd_dark, sd_o) = blocks.mean, blocks.sd
    with np.errstate(invalid="ignore", divide="ignore"):
        made = np.stack([-np.log(t), dark, -np.log(o)])
        sd = np.stack([sd_t / t, sd_dark, sd_o / o])
    return made, np.maximum(sd, 1e-6)
