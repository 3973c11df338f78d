"""Bags of a lane that drifts from bag to bag, retrieved by the engine of the service and kept in a folder.

Tube output falls and the mask moves evenly until the last bag. Each bag is scanned several times, see
:data:`CONDITIONS`: with the same deviate of photon noise in every pixel, but for the one scan that shows what other
photons do. Packets and processes are left out. :mod:`training.drift_decisions` judges what is kept. All is simulated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

import kernels
from calibration.build import assemble
from calibration.bundle import Bundle
from edge.config import Config
from edge.messages import Arrays, ImageSlab, Slab
from edge.retrieval.engine import Output, RetrievalEngine
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner
from training.bags import items
from training.simulate import WORKING_POINT_UM, PhaseSums, SimulatedLane

#: Bags that neither chose nor reported a model.
SEEDS = (930_600, 930_700)
SEED = 930_501
#: What has drifted at the last bag: the whole of the issue's 10 % and 3 µm.
OUTPUT, SHIFT_UM = 0.10, 3.0
#: Added to the seed of a bag's noise for the scan with other photons.
OTHER_NOISE = 50_000
RECIPE = "recipe.json"
#: When the lane was calibrated, and when its bags were scanned, ns; fixed, so that every run keeps the same.
CALIBRATED_NS = 1_767_225_600_000_000_000
SCANNED_NS = CALIBRATED_NS + 60_000_000_000


class Condition(NamedTuple):
    """One scan of a bag: what has drifted in it, whether the drift is corrected, whose photons it has."""

    tube: bool
    masks: bool
    correct: bool
    noise: int = 0


STEADY = "steady"
#: ``steady`` is what all others are compared with.
CONDITIONS = {
    STEADY: Condition(tube=False, masks=False, correct=True),
    "photons": Condition(tube=False, masks=False, correct=True, noise=OTHER_NOISE),
    "tube": Condition(tube=True, masks=False, correct=True),
    "masks": Condition(tube=False, masks=True, correct=True),
    "corrected": Condition(tube=True, masks=True, correct=True),
    "uncorrected": Condition(tube=True, masks=True, correct=False),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that the kept images follow from; ``calibration``: id of the lane's bundle."""

    bags: int
    native_rows: int
    output: float
    shift_um: float
    calibration: str

    def drift(self, k: int) -> tuple[float, float]:
        """Tube output (1 = as calibrated) and shift of M1 (µm) at bag ``k``."""
        part = (k + 1) / self.bags
        return 1 - self.output * part, self.shift_um * part

    def items(self) -> list[PlanItem]:
        """The bags."""
        return items(SEEDS, self.bags)


class DriftedBags:
    """The kept scans of ``recipe`` in ``folder``. ValueError when the folder holds those of another recipe."""

    def __init__(self, folder: Path, recipe: Recipe) -> None:
        self.folder, self.recipe = folder, recipe
        written = folder / RECIPE
        if written.is_file() and json.loads(written.read_text(encoding="utf-8")) != asdict(recipe):
            raise ValueError(f"{written} tells of other bags than {recipe}; give another folder")
        folder.mkdir(parents=True, exist_ok=True)
        written.write_text(json.dumps(asdict(recipe), indent=1), encoding="utf-8")

    def make(self, processes: int) -> None:
        """Scan and retrieve what is not there yet."""
        missing = [k for k in range(self.recipe.bags) if not all(self._path(k, c).is_file() for c in CONDITIONS)]
        if processes == 1:
            for k in missing:
                self.scan(k)
        elif missing:
            with ProcessPoolExecutor(processes) as pool:
                list(pool.map(self.scan, missing))

    def scan(self, k: int) -> None:
        """Bag ``k`` in every condition."""
        output, shift_um = self.recipe.drift(k)
        item = self.recipe.items()[k]
        then = EmulatorSettings(seed=SEED)
        moved = then.model_copy(update={"misalignment_x_um": shift_um})
        # Settings of the calibration given twice: the noise is then drawn as that of the drifted states.
        lanes = [
            SimulatedLane(scanner_of(self.recipe.native_rows), now, then, tube)
            for now, tube in ((then, 1.0), (then, output), (moved, 1.0), (moved, output))
        ]
        scenes = {masks: lanes[2 * masks].prepare(item) for masks in (False, True)}
        with TemporaryDirectory() as name:
            bundle = calibration(self.recipe.native_rows)
            bundle.save(Path(name) / "calibration")
            for condition, how in CONDITIONS.items():
                lane = lanes[2 * how.masks + how.tube]
                sums = lane.summed(scenes[how.masks], item.seed + how.noise)
                config = lane_config(self.recipe.native_rows, Path(name), correct=how.correct)
                self._keep(k, condition, list(retrieved(config, bundle, f"{item.tag}-{condition}", sums)))

    def slabs(self, k: int, condition: str) -> Iterator[Output]:
        """What the retrieval service would send of bag ``k``."""
        with np.load(self._path(k, condition), allow_pickle=False) as file:
            arrays = {name: file[name] for name in ImageSlab.ARRAYS}
            headers = [ImageSlab.model_validate_json(str(line)) for line in file["slabs"]]
        first = 0
        for slab in headers:
            part = slice(first, first + slab.columns)
            yield slab, {name: np.ascontiguousarray(array[..., part]) for name, array in arrays.items()}
            first = part.stop

    def _path(self, k: int, condition: str) -> Path:
        return self.folder / f"{k:03d}-{condition}.npz"

    def _keep(self, k: int, condition: str, slabs: list[Output]) -> None:
        parts = {name: np.concatenate([a[name] for _, a in slabs], axis=-1) for name in ImageSlab.ARRAYS}
        target = self._path(k, condition)
        part = target.with_suffix(".part.npz")
        np.savez(part, slabs=np.asarray([slab.model_dump_json() for slab, _ in slabs]), **parts)  # type: ignore[arg-type]
        part.replace(target)


def scanner_of(native_rows: int) -> Scanner:
    """The reference scanner with so much of its field."""
    return Scanner.model_validate({"native_rows": native_rows})


def lane_config(native_rows: int, state_dir: Path, *, correct: bool = True) -> Config:
    """Configuration of the lane."""
    return Config.model_validate(
        {
            "lane": {"state_dir": str(state_dir)},
            "scanner": scanner_of(native_rows).model_dump(),
            "calibration": {"correct_drift": correct},
        }
    )


@lru_cache(maxsize=2)
def calibration(native_rows: int) -> Bundle:
    """The lane's calibration. Phase sums are normalised already: the flat is that of the model."""
    then = EmulatorSettings(seed=SEED)
    lane = SimulatedLane(scanner_of(native_rows), then, then)
    modelled = kernels.flat_model(lane.curves, WORKING_POINT_UM, "full")
    flat = modelled[np.arange(COLUMNS) % GROUPS].transpose(1, 2, 0)
    return assemble(
        lane.scanner, curves=lane.curves, curves_paper=lane.curves, flat=np.ascontiguousarray(flat),
        good=np.ones(flat.shape, np.uint8), prior=lane.prior, working_point_um=WORKING_POINT_UM,
        created_ns=CALIBRATED_NS,
    )  # fmt: skip


def retrieved(config: Config, bundle: Bundle, tag: str, sums: PhaseSums) -> Iterator[Output]:
    """Slabs of images of one bag, by the engine of the retrieval service; arrays of their own."""
    engine = RetrievalEngine(config)
    for slab, arrays in _slabs(config, bundle, tag, sums):
        made = engine.process(slab, arrays)
        if made is not None:
            yield made[0], {name: array.copy() for name, array in made[1].items()}


def _slabs(config: Config, bundle: Bundle, tag: str, sums: PhaseSums) -> Iterator[tuple[Slab, Arrays]]:
    scanner = config.scanner
    grid, total = scanner.object_grid_um, sums.samples.shape[-1]
    width = config.retrieval.slab_columns
    for index, first in enumerate(range(0, total, width)):
        part = slice(first, min(first + width, total))
        each = sums.exposure[part] * np.float32(GROUPS / COLUMNS)
        weights = np.ascontiguousarray(np.broadcast_to(each, (COLUMNS, each.size)))
        slab = Slab(
            bag_id=tag, scan_id="drift", index=index, last=part.stop == total, column0=first,
            columns=part.stop - first, rows=scanner.rows, grid_um=grid, origin_um=0.0,
            bag_from_um=sums.lead_columns * grid,
            bag_to_um=sums.lead_columns * grid + sums.length_um if part.stop == total else None,
            frames=1, first_frame_t_ns=SCANNED_NS, last_frame_t_ns=SCANNED_NS, calibration_id=bundle.id,
        )  # fmt: skip
        yield (
            slab,
            {
                "phase_sums": np.ascontiguousarray(sums.samples[..., part]),
                "weights": weights,
                "weights_sq": weights * sums.variance_factor[part],
            },
        )


def drifted_bags(
    folder: Path, count: int, native_rows: int, *, output: float = OUTPUT, shift_um: float = SHIFT_UM
) -> DriftedBags:
    """``count`` bags in ``folder``; until the last the tube loses ``output`` and the mask moves by ``shift_um``."""
    return DriftedBags(folder, Recipe(count, native_rows, output, shift_um, calibration(native_rows).id))
