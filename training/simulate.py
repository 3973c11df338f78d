"""Scenes to retrieved images without processes and sockets: the lane's own arithmetic, a few seconds per bag.

Mean counts come from the emulator's forward model; counts are drawn on its fine grid and summed with the same
triangular weights as frames are (physics.md 4); normalisation, curves, offset prior and retrieval are the lane's.
Everything made here is simulated.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import kernels
from calibration import tray
from calibration.reference import reference_tray
from firmware_bridge.emulator import forward, render
from firmware_bridge.emulator.alignment import Alignment
from firmware_bridge.emulator.materials import material
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.scenes import Scene
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner
from kernels.types import F32, IlluminationCurves, Model, OffsetPrior, Retrieval

#: Mask positions of the simulated flat scan, µm, and the working point.
SCAN_UM = np.linspace(-40.0, 40.0, 41)
WORKING_POINT_UM = -5.0
#: Layers (material, mm) over everything.
Sheets = tuple[tuple[str, float], ...]
#: Air before and after each item, mm.
LEAD_AIR_MM = 6.0


@dataclass(frozen=True)
class SimulatedBag:
    """One item after retrieval; ``lead_columns`` is the grid position of its leading edge (not whole)."""

    retrieval: Retrieval
    lead_columns: float
    truth: dict[str, Any]


@dataclass(frozen=True)
class PhaseSums:
    """Normalised phase sums: ``samples`` (4, 2, rows, columns), as :func:`kernels.normalise` returns them.

    ``length_um``: from the leading edge, at ``lead_columns``, to the trailing one.
    """

    samples: F32
    exposure: F32
    variance_factor: F32
    lead_columns: float
    truth: dict[str, Any]
    length_um: float


@dataclass(frozen=True)
class SimulatedLane:
    """One scanner, calibrated without noise; ``settings`` are those of the emulated scanner.

    ``binning``: pixels of the scanner's grid that are summed in both directions before retrieval.

    ``calibrated``: its settings when it was calibrated, if they have changed since; ``output``: of the tube since then.
    Photon noise is then Gaussian with the same deviates in every state of the scanner, so that one bag can be compared
    in two states; else it is Poisson.
    """

    scanner: Scanner = field(default_factory=Scanner)
    settings: EmulatorSettings = field(default_factory=EmulatorSettings)
    calibrated: EmulatorSettings | None = None
    output: float = 1.0
    binning: int = 1

    def masks(self) -> Alignment:
        """How the masks stand while bags are scanned."""
        return Alignment.of(self.scanner, self.settings, {"m1_x": WORKING_POINT_UM})

    def _draw(self, mean: F32, rng: np.random.Generator) -> F32:
        if self.calibrated is None:
            return rng.poisson(mean).astype(np.float32)
        return np.maximum(mean + np.sqrt(mean) * rng.standard_normal(mean.shape, np.float32), 0).astype(np.float32)

    @cached_property
    def _calibration(self) -> SimulatedLane:
        """The lane as it was calibrated: one for all states that it drifts to."""
        return self if self.calibrated is None else _calibrated(self.scanner, self.calibrated, self.binning)

    def _flat(self, masks: Alignment | float) -> F32:
        """Mean counts per frame and (binned) pixel without object: (4, 2, rows)."""
        air = render.air(self.scanner, self.settings, masks).transpose(1, 0, 2)
        return np.asarray(air.reshape(*air.shape[:2], -1, self.binning).sum(-1), np.float32)

    def fitted(self, model: Model) -> IlluminationCurves:
        """Equation (1), in the form of ``model``, fitted to a noiseless flat scan."""
        if self._calibration is not self:
            return self._calibration.fitted(model)
        scan = np.stack([self._flat(float(x)) for x in SCAN_UM])
        return kernels.fit_curves(SCAN_UM, np.ascontiguousarray(scan, np.float32), model=model)[0]

    @cached_property
    def curves(self) -> IlluminationCurves:
        """Equation (1) in the form of the lane's own retrieval."""
        return self.fitted("map")

    @cached_property
    def paper_curves(self) -> IlluminationCurves:
        """Equation (1) as printed."""
        return self.fitted("paper")

    @cached_property
    def prior(self) -> OffsetPrior:
        """Offset prior from one pass of the reference tray."""
        if self._calibration is not self:
            return self._calibration.prior
        if self.binning > 1:  # what o and t have to do with each other is the same in every pixel
            return replace(self, binning=1).prior
        sums = self.phase_sums(PlanItem(kind="tray"), 0)
        drawing = reference_tray(self.scanner)
        regions = [tray.region(plate, sums.lead_columns, self.scanner) for plate in drawing.plates]
        plates = tray.measure(sums.samples, sums.exposure, self.curves, WORKING_POINT_UM, regions)
        return kernels.fit_prior(plates.t, plates.o, plates.sd_o)

    def prepare(self, item: PlanItem, sheets: Sheets = ()) -> render.PreparedScene:
        """Mean counts of ``item`` with ``sheets`` of material over its whole length and the whole field."""
        canvas, scene = render.draw(self.scanner, self.settings, item)
        return self.expected(canvas, scene, sheets)

    def expected(self, canvas: forward.Canvas, scene: Scene, sheets: Sheets = ()) -> render.PreparedScene:
        """Mean counts of a ``scene`` that has been drawn on ``canvas``, with ``sheets`` over everything."""
        for name, thickness_mm in sheets:
            everywhere = np.full((canvas.maps.shape[0], self.scanner.rows), thickness_mm, np.float32)
            canvas.add(material(name), everywhere, 0, 0, None)
        expected = forward.canvas_counts(canvas, self.settings, self.masks())
        return render.PreparedScene(scene.length_mm * 1e3, canvas.u0_um, canvas.du_um, expected, scene.truth)

    def phase_sums(self, item: PlanItem, noise_seed: int, sheets: Sheets = ()) -> PhaseSums:
        """Draw the counts of ``item`` and sum them on the object grid, air before and after."""
        return self.summed(self.prepare(item, sheets), noise_seed)

    def summed(self, scene: render.PreparedScene, noise_seed: int) -> PhaseSums:
        """Draw the counts of a prepared scene and sum them on the (binned) object grid, air before and after."""
        scanner, pixel = self.scanner, self.binning
        air = render.air(scanner, self.settings, self.masks())
        per_column = max(1, round(scanner.object_grid_um / scene.du_um))
        before = -(-round(LEAD_AIR_MM * 1e3 / scene.du_um) // per_column) * per_column
        # Frames per fine step and column of each group: the belt passes `step_um` per frame.
        frames = COLUMNS / GROUPS * scene.du_um / scanner.step_um
        rng = np.random.default_rng([noise_seed, 0xDA12])
        lines = _padded(scene.expected, air, before, per_column)
        counts = self._draw(lines * np.float32(frames * self.output), rng)
        weights = _triangle(per_column)
        columns = (counts.shape[0] // per_column - 2) // pixel * pixel
        sums = np.zeros((columns, *counts.shape[1:]), np.float32)
        for k, weight in enumerate(weights):  # column j is centred on fine line (j + 1) per_column
            sums += weight * counts[k + 1 : k + 1 + columns * per_column : per_column]
        if pixel > 1:
            sums = sums.reshape(columns // pixel, pixel, *sums.shape[1:3], -1, pixel).sum((1, 5))
            weights = _overlapping(weights, per_column, pixel)
        modelled = kernels.flat_model(self.curves, WORKING_POINT_UM, "full")
        flat = self._calibration._flat(self._calibration.masks())
        samples = sums.transpose(2, 1, 3, 0) * (modelled / flat)[..., None]
        ones = np.ones(len(sums), np.float32)
        lead = (before - scene.u0_um / scene.du_um) / per_column - 1
        return PhaseSums(
            np.ascontiguousarray(samples, np.float32), ones * np.float32(frames * weights.sum()),
            ones * np.float32((weights**2).sum() / weights.sum()), (lead - (pixel - 1) / 2) / pixel, scene.truth,
            scene.length_um,
        )  # fmt: skip

    def scan(self, item: PlanItem, sheets: Sheets = ()) -> SimulatedBag:
        """Images of ``item`` with the noise of its own seed, behind ``sheets`` (material, mm)."""
        sums = self.phase_sums(item, item.seed, sheets)
        return SimulatedBag(self.retrieve(sums), sums.lead_columns, sums.truth)

    def retrieve(self, sums: PhaseSums, model: Literal["map", "paper"] = "map") -> Retrieval:
        """Images of phase sums, as the lane retrieves them (`map`), or with equation (2) as printed (`paper`)."""
        samples, curves = sums.samples, self.curves
        prior: OffsetPrior | None = self.prior
        if model == "paper":
            curves, prior = self.paper_curves, None
            # The air's misfit to the model has to drop out of this model too: S M / F with its own M.
            of_full = kernels.flat_model(self.curves, WORKING_POINT_UM, "full")
            samples = samples * (kernels.flat_model(curves, WORKING_POINT_UM, model) / of_full)[..., None]
        return kernels.retrieve(
            samples, curves, WORKING_POINT_UM, exposure=sums.exposure, variance_factor=sums.variance_factor,
            model=model, prior=prior,
        )  # fmt: skip


@lru_cache(maxsize=4)
def _calibrated(scanner: Scanner, settings: EmulatorSettings, binning: int) -> SimulatedLane:
    return SimulatedLane(scanner, settings, binning=binning)


def _triangle(per_column: int) -> npt.NDArray[np.float32]:
    """Triangular weights of half width ``per_column`` fine steps, without the zero ends."""
    distance = np.abs(np.arange(1 - per_column, per_column)) / per_column
    return (1 - distance).astype(np.float32)


def _overlapping(weights: npt.NDArray[np.float32], step: int, times: int) -> npt.NDArray[np.float32]:
    """Weights of the sum of ``times`` neighbours, each ``step`` fine lines after the last."""
    total = np.zeros(len(weights) + (times - 1) * step, np.float32)
    for k in range(times):
        total[k * step : k * step + len(weights)] += weights
    return total


def _padded(expected: F32, air: F32, before: int, per_column: int) -> F32:
    """Expected counts (lines, 2, 4, rows) with air before and at least as much after, a whole number of columns."""
    after = before + (-(expected.shape[1] + 2 * before)) % per_column
    lead = np.broadcast_to(air[:, None], (air.shape[0], 1, *air.shape[1:]))
    parts = [np.repeat(lead, before, 1), expected, np.repeat(lead, after, 1)]
    return np.ascontiguousarray(np.concatenate(parts, axis=1).transpose(1, 0, 2, 3))
