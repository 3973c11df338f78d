"""Step wedges of one material through the simulated lane, measured against the floor of their container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import kernels
from calibration.linearity import WedgeSteps
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import Scanner
from kernels.types import F32, F64, INFORMATIVE
from training.simulate import Sheets, SimulatedLane

#: The paper's fifteen fill heights: boxes of 2.5, 5, 10 and 20 mm and their sums.
THICKNESSES_MM = tuple(2.5 * k for k in range(1, 16))
#: Kept from the edges of a step, mm.
MARGIN_MM = 1.5
#: Materials of the paper's Fig. 2 (a, b) and of its Fig. 2 (d).
FIRST_SET = ("Semtex1A", "Semtex1H", "C4", "TSR_AN", "acrylic", "soap", "cheese", "marzipan", "paper")
SECOND_SET = (
    "Semtex1A",
    "Semtex1H",
    "C4",
    "Permonex",
    "TNT",
    "TNTflake",
    "soap",
    "marzipan",
    "paper",
    "rubber",
    "sugar",
    "simulant",
)
#: Harmless materials whose wedges give the linearisation: strong and weak scatterers, light and heavy.
REFERENCES = ("paper", "soap", "rubber", "simulant")


@dataclass(frozen=True)
class Wedge:
    """Steps of one material. ``signals``: (3, 2 bins, n) means of −ln t, τ² (µm²) and −ln o; ``sd``: of their pixels;
    ``sem``: of the means, their background's share included. ``pixels``: (t, τ²) of each step's pixels, low bin.
    """

    material: str
    thickness_mm: F64
    signals: F64
    sd: F64
    sem: F64
    pixels: tuple[F32, ...]

    @property
    def steps(self) -> WedgeSteps:
        """What the linearisation needs of it."""
        return WedgeSteps(self.thickness_mm, self.signals, self.sem)


def lane(seed: int, rows: int = 1024, kv: int = 80, speed_mm_s: float | None = None) -> SimulatedLane:
    """A lane with part of the field; ``speed_mm_s`` None: the default speed."""
    table: dict[str, float] = {"tube_kv": kv, "native_rows": rows}
    if speed_mm_s is not None:
        table["belt_speed_mm_s"] = speed_mm_s
    return SimulatedLane(Scanner.model_validate(table), EmulatorSettings(seed=seed))


def item(material: str, seed: int) -> PlanItem:
    """The step container of ``material``."""
    return PlanItem(kind="reference", target=material, seed=seed, thicknesses_mm=THICKNESSES_MM)


def scan(on: SimulatedLane, material: str, seed: int, sheets: Sheets = (), *, renormalised: bool = True) -> Wedge:
    """Scan a wedge of ``material`` behind ``sheets``; divide what lies beside the steps out, average each step.

    ``renormalised`` False: against air, so that floor and sheets stay in the signals.
    """
    bag = on.scan(item(material, seed), sheets)
    retrieval = bag.retrieval
    boxes = step_boxes(bag.truth, bag.lead_columns, on.scanner)
    background = np.zeros(retrieval.images.shape[2:], bool)
    margin = round(MARGIN_MM * 1e3 / on.scanner.object_grid_um)
    lead = round(bag.lead_columns)
    free = slice(lead + margin, boxes[0][1].start - 2 * margin) if renormalised else slice(0, lead - margin)
    background[boxes[0][0], free] = True
    return measure(material, retrieval, boxes, background)


def measure(
    material: str, retrieval: kernels.Retrieval, boxes: list[tuple[slice, slice]], background: npt.NDArray[np.bool_]
) -> Wedge:
    """Average the steps of a retrieved wedge after division by the pixels of ``background`` (rows, columns)."""
    images, _ = kernels.renormalise(retrieval.images, retrieval.sigma, retrieval.flags, background)
    good = ((retrieval.flags & ~np.uint16(INFORMATIVE)) == 0).all(axis=0)
    beside = images[:, :, background & good].astype(np.float64)
    # What was divided out is uncertain too, and by the same amount in every step.
    level = beside.std(axis=-1)[[0, 2, 3]] / np.sqrt(beside.shape[-1])
    means, spreads, errors, pixels = [], [], [], []
    for box in boxes:
        inside = good[box]
        t, _, dark, o = (images[k][:, box[0], box[1]][:, inside] for k in range(4))
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.stack([-np.log(t), dark, -np.log(o)]).astype(np.float64)
        # The logarithm of a noisy value is biased; the mean of the value is not.
        values_of_mean = np.stack([-np.log(t.mean(axis=1)), dark.mean(axis=1), -np.log(o.mean(axis=1))])
        spread = np.nanstd(np.where(np.isfinite(values), values, np.nan), axis=-1)
        means.append(values_of_mean)
        spreads.append(spread)
        errors.append(np.hypot(spread / np.sqrt(max(inside.sum(), 1)), level))
        pixels.append(np.stack([t[0], dark[0]]))
    stack = [np.stack(part, axis=-1) for part in (means, spreads, errors)]
    return Wedge(material, np.asarray(THICKNESSES_MM), stack[0], stack[1], stack[2], tuple(pixels))


def step_boxes(truth: dict[str, Any], lead_columns: float, scanner: Scanner) -> list[tuple[slice, slice]]:
    """Rows and columns of each step, without its edges."""
    steps = [label["box_mm"] for label in truth["objects"] if label["label"] == "step"]
    column, row = scanner.object_grid_um / 1e3, scanner.row_pitch_um / 1e3
    return [
        (
            slice(round((y0 + MARGIN_MM) / row), round((y1 - MARGIN_MM) / row)),
            slice(round(lead_columns + (u0 + MARGIN_MM) / column), round(lead_columns + (u1 - MARGIN_MM) / column)),
        )
        for u0, u1, y0, y1 in steps
    ]


def ratios(signals: F64, sem: F64) -> tuple[F64, F64]:
    """R_df, R_ab, R_of (low over high bin) and their 1-σ: (3, n) each, in the order dark-field, attenuation, offset."""
    order = [1, 0, 2]
    low, high = signals[order, 0], signals[order, 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        value = low / high
        error = np.abs(value) * np.hypot(sem[order, 0] / low, sem[order, 1] / high)
    return value, error
