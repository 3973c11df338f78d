"""Reference samples: step containers of every material, measured as the detector measures regions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge.inference.detector import Geometry, Tile
from edge.inference.features import Step, average
from edge.inference.settings import SETTINGS
from edge.inference.tiles import BlockAverager, Planes
from firmware_bridge.emulator.materials import Material, all_materials, energies_kev
from firmware_bridge.emulator.plan import REFERENCE_STEPS_MM, PlanItem
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import NATIVE_ROWS, Scanner
from kernels.types import F64
from training.seeds import REFERENCE
from training.simulate import Sheets, SimulatedBag, SimulatedLane

#: What lies over the samples: nothing, plastics and metal of bags and electrical items.
BACKGROUNDS: tuple[Sheets, ...] = ((), (("acrylic", 18.0),), (("Al", 1.5),))
#: Dense materials get thinner steps: the thickest one attenuates this much at the energy of the low bin.
THICKEST_ATTENUATION, LOW_BIN_KEV = 3.5, 33.0
#: Half the field is enough for samples, and its steps are half as wide.
FIELD_FRACTION = 2
#: Samples taken from each step, along the rows.
PATCHES = 6
#: Blocks kept from the edges of a step.
MARGIN_BLOCKS = 2
#: What a packing is measured by: the floor of the reference containers.
PACKING = "acrylic container"


@dataclass(frozen=True)
class Sample:
    """One patch of one step: the material, its thickness and its step against the container's floor."""

    material: str
    thickness_mm: float
    step: Step


def reference_lane(tube_kv: int) -> SimulatedLane:
    """A lane with part of the field, another scanner (seed) than the one of demos."""
    scanner = Scanner.model_validate({"tube_kv": tube_kv, "native_rows": NATIVE_ROWS // FIELD_FRACTION})
    return SimulatedLane(scanner, EmulatorSettings(seed=REFERENCE[0]))


def thicknesses_mm(known: Material) -> tuple[float, ...]:
    """The paper's steps, scaled down for materials that would be opaque."""
    mu = float(np.interp(LOW_BIN_KEV, energies_kev(), known.mu_per_mm))
    scale = min(1.0, THICKEST_ATTENUATION / (mu * REFERENCE_STEPS_MM[-1]))
    return tuple(round(scale * step, 4) for step in REFERENCE_STEPS_MM)


def planes_of(bag: SimulatedBag, scanner: Scanner) -> Planes:
    """The detector's own block planes of a simulated bag."""
    blocks = BlockAverager(Geometry(scanner.rows, scanner.row_pitch_um, scanner.object_grid_um), SETTINGS)
    blocks.add(Tile(0, bag.retrieval.images, bag.retrieval.sigma, bag.retrieval.flags))
    return blocks.planes()


def collect(lane: SimulatedLane, name: str) -> tuple[list[Sample], list[F64]]:
    """All samples of one material, and the planes (6,) of the empty container's floor against air."""
    known = all_materials()[name]
    number = list(all_materials()).index(name)
    samples, floors = [], []
    for k, sheets in enumerate(BACKGROUNDS):
        item = PlanItem(
            kind="reference",
            target=name,
            seed=REFERENCE[0] + number * len(BACKGROUNDS) + k,
            thicknesses_mm=thicknesses_mm(known),
        )
        assert item.seed < REFERENCE[1]
        bag = lane.scan(item, sheets)
        planes = planes_of(bag, lane.scanner)
        samples += list(_samples(bag, planes, lane.scanner, item))
        if not sheets:
            floors.append(_floor(bag, planes, lane.scanner))
    return samples, floors


def _columns(bag: SimulatedBag, planes: Planes, scanner: Scanner, box_mm: list[float]) -> slice:
    """Block columns inside (u0, u1) mm of the item."""
    per_mm = 1e3 / scanner.object_grid_um / planes.block_columns
    lead = bag.lead_columns / planes.block_columns
    return slice(
        math.ceil(box_mm[0] * per_mm + lead) + MARGIN_BLOCKS, math.floor(box_mm[1] * per_mm + lead) - MARGIN_BLOCKS
    )


def _samples(bag: SimulatedBag, planes: Planes, scanner: Scanner, item: PlanItem) -> Iterator[Sample]:
    steps = [label for label in bag.truth["objects"] if label["label"] == "step"]
    width = steps[0]["box_mm"][1] - steps[0]["box_mm"][0]
    bare = _columns(bag, planes, scanner, [steps[0]["box_mm"][0] - width, steps[0]["box_mm"][0]])
    per_mm = 1e3 / scanner.row_pitch_um / planes.block_rows
    first, last = (steps[0]["box_mm"][2] * per_mm + MARGIN_BLOCKS, steps[0]["box_mm"][3] * per_mm - MARGIN_BLOCKS)
    edges = np.linspace(math.ceil(first), math.floor(last), PATCHES + 1).astype(int)
    for label, thickness in zip(steps, item.thicknesses_mm, strict=True):
        columns = _columns(bag, planes, scanner, label["box_mm"])
        for r0, r1 in pairwise(edges):
            inside, beside = (slice(r0, r1), columns), (slice(r0, r1), bare)
            if not planes.good[inside].all() or not planes.good[beside].all():
                continue
            mean, covariance = _window(planes, inside)
            base, spread = _window(planes, beside)
            yield Sample(
                str(item.target),
                thickness,
                Step(mean - base, covariance + spread, (float(base[0]), float(base[1])), 1.0),
            )


def _floor(bag: SimulatedBag, planes: Planes, scanner: Scanner) -> F64:
    """Planes of the container's floor alone, against the air before it."""
    steps = [label for label in bag.truth["objects"] if label["label"] == "step"]
    air = slice(0, int(bag.lead_columns / planes.block_columns) - MARGIN_BLOCKS)
    bare = _columns(bag, planes, scanner, [0.0, steps[0]["box_mm"][0]])
    rows = slice(MARGIN_BLOCKS, planes.good.shape[0] - MARGIN_BLOCKS)
    step: F64 = _window(planes, (rows, bare))[0] - _window(planes, (rows, air))[0]
    return step


def _window(planes: Planes, window: tuple[slice, slice]) -> tuple[F64, F64]:
    values, variance = planes.values[(slice(None), *window)], planes.variance[(slice(None), *window)]
    return average(values.reshape(6, -1), variance.reshape(6, -1), 1.0)
