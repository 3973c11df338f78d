"""Simulated bags, taken apart by the detector's own segmentation, with the truth about each region."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from edge.config import Inference
from edge.inference.features import Step, regions
from edge.inference.regions import segment
from edge.inference.settings import SETTINGS
from edge.inference.tiles import Planes
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import Scanner
from training.samples import planes_of
from training.simulate import SimulatedLane

#: Regions smaller than the lane's default are not judged.
MIN_AREA_MM2 = Inference().min_area_mm2


@dataclass(frozen=True)
class ExaminedRegion:
    """One region that the detector judges. ``overlap``: part of it inside the target's box."""

    steps: tuple[Step, ...]
    area_mm2: float
    overlap: float


@dataclass(frozen=True)
class ExaminedBag:
    """One bag: ``target`` is the hidden material, None without one; ``path_mm`` how much of it."""

    kind: str
    seed: int
    target: str | None
    path_mm: float
    regions: tuple[ExaminedRegion, ...]


def examine_all(items: Sequence[PlanItem], tube_kv: int, scanner_seed: int, processes: int) -> list[ExaminedBag]:
    """Simulate and examine every item, on so many processes; the result does not depend on their number."""
    work = partial(examine, tube_kv=tube_kv, scanner_seed=scanner_seed)
    if processes == 1:
        return [work(item) for item in items]
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(work, items))


@lru_cache(maxsize=2)
def lane(tube_kv: int, scanner_seed: int) -> SimulatedLane:
    """The reference scanner at this voltage, with gains and mask of ``scanner_seed``."""
    return SimulatedLane(Scanner.model_validate({"tube_kv": tube_kv}), EmulatorSettings(seed=scanner_seed))


def examine(item: PlanItem, tube_kv: int, scanner_seed: int) -> ExaminedBag:
    """Simulate one item and measure its regions."""
    simulated = lane(tube_kv, scanner_seed)
    bag = simulated.scan(item)
    planes = planes_of(bag, simulated.scanner)
    target = bag.truth["target"]
    inside = target_box(bag.truth, bag.lead_columns, planes)
    labels = segment(planes, SETTINGS)
    found = []
    for region in regions(planes, labels, MIN_AREA_MM2, SETTINGS):
        if region.steps:
            hit = 0.0
            if inside is not None:
                hit = float((labels[inside] == region.label).sum() / region.mask.sum())
            area = float(region.mask.sum() * planes.block_mm[0] * planes.block_mm[1])
            found.append(ExaminedRegion(region.steps, area, hit))
    path = float(target["mean_path_mm"]) if target else 0.0
    return ExaminedBag(item.kind, item.seed, target["material"] if target else None, path, tuple(found))


def target_box(truth: dict[str, Any], lead_columns: float, planes: Planes) -> tuple[slice, slice] | None:
    """Blocks (rows, columns) of the target's box."""
    target = truth["target"]
    if target is None:
        return None
    u0, u1, y0, y1 = np.asarray(target["box_mm"], np.float64)
    rows = (y0 / planes.block_mm[0], y1 / planes.block_mm[0])
    lead = lead_columns / planes.block_columns
    columns = (u0 / planes.block_mm[1] + lead, u1 / planes.block_mm[1] + lead)
    return (
        slice(math.floor(rows[0]), math.ceil(rows[1])),
        slice(math.floor(columns[0]), math.ceil(columns[1])),
    )
