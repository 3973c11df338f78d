"""What drift does to the signals that decide: the numbers behind the limits of table ``[calibration]``.

``python -m training.drift`` scans the same simulated step containers with a drifted tube and drifted masks, with and
without the correction of the retrieval service, and prints how far the mean signals of a region move: in 1-σ of the
smallest region that is judged, which is the noise that every decision has to live with. Scores are not compared: they
jump by more than that when a region's outline moves by one block.

``--bags 50 --keep FOLDER`` looks at decisions instead: bags of :mod:`training.drift_bags` are kept in the folder, made
where they are missing, and judged by the lane's detectors (:mod:`training.drift_decisions`).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import kernels
from edge.config import Config, Inference
from edge.inference.lane_detector import LaneDetector
from edge.messages import Slab
from edge.retrieval.drift import DriftMonitor, Normalised, Optics
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.scanner import NATIVE_ROWS, Scanner
from kernels.types import F64
from training.drift_bags import CONDITIONS, STEADY, DriftedBags, drifted_bags, lane_config
from training.drift_decisions import ALONE, decide, detectors, heading, line, summary
from training.figures.wedge import item, step_boxes
from training.simulate import WORKING_POINT_UM, SimulatedLane

SEED = 930_500
MATERIALS = ("Semtex1H", "soap", "paper")
#: Limits out of the way: this program looks beyond them.
NO_LIMITS = {"max_air_scale": 0.9, "max_mask_shift_um": 100.0, "max_broadening_um2": 1e4}


@dataclass(frozen=True)
class State:
    """Output of the tube, shift (µm) and rotation (mrad) of M1 since the calibration."""

    output: float = 1.0
    shift_um: float = 0.0
    rotation_mrad: float = 0.0

    def __str__(self) -> str:
        return f"{self.output - 1:+.0%} | {self.shift_um:+g} | {self.rotation_mrad:+g}"


STATES = (
    *(State(output=1 + part) for part in (-0.20, -0.10, -0.05, 0.10, 0.20)),
    *(State(shift_um=shift) for shift in (-7.0, -5.0, -3.0, -1.0, 1.0, 3.0, 5.0, 7.0)),
    *(State(rotation_mrad=turn) for turn in (0.02, 0.05)),
    State(0.9, 3.0, 0.02),
)


def scanned(material: str, state: State, *, correct: bool, native_rows: int) -> tuple[F64, F64]:
    """Step container of ``material`` scanned in ``state`` with a calibration from before the drift.

    Means of −ln t and τ² of each step and bin, and the standard deviation of their pixels: (2, 2, n) each.
    """
    scanner = Scanner.model_validate({"native_rows": native_rows})
    then = EmulatorSettings(seed=SEED)
    now = then.model_copy(update={"misalignment_x_um": state.shift_um, "misalignment_rot_z_mrad": state.rotation_mrad})
    lane = SimulatedLane(scanner, now, then, state.output)
    sums = lane.phase_sums(item(material, SEED), SEED)
    table = {"scanner": scanner.model_dump(), "calibration": NO_LIMITS | {"correct_drift": correct}}
    data = Normalised(sums.samples, sums.exposure, sums.variance_factor)
    optics = Optics(
        lane.curves, kernels.flat_model(lane.curves, WORKING_POINT_UM, "full"), WORKING_POINT_UM, lane.prior
    )
    grid = scanner.object_grid_um
    slab = Slab(
        bag_id="drift", index=0, column0=0, columns=min(64, sums.samples.shape[-1]), rows=scanner.rows, grid_um=grid,
        origin_um=0.0, bag_from_um=sums.lead_columns * grid,
    )  # fmt: skip
    air, _, curves = DriftMonitor(Config.model_validate(table)).before(slab, data, optics)
    scale = np.asarray(air.output if correct else (1.0, 1.0), np.float32)
    retrieval = kernels.retrieve(
        sums.samples / scale[None, :, None, None],
        curves,
        WORKING_POINT_UM,
        exposure=sums.exposure,
        variance_factor=sums.variance_factor / np.float32(scale.mean()),
        prior=lane.prior,
    )
    means, spreads = [], []
    for rows, columns in step_boxes(sums.truth, sums.lead_columns, scanner):
        t, dark = (retrieval.images[k][:, rows, columns].reshape(2, -1).astype(np.float64) for k in (0, 2))
        means.append(np.stack([-np.log(np.nanmean(t, axis=1)), np.nanmean(dark, axis=1)]))
        spreads.append(np.stack([np.nanstd(t, axis=1) / np.nanmean(t, axis=1), np.nanstd(dark, axis=1)]))
    return np.stack(means, axis=-1), np.stack(spreads, axis=-1)


def table(native_rows: int) -> str:
    """Markdown: for each state the median and the largest change over materials, steps and bins."""
    scanner = Scanner()
    pixels = Inference().min_area_mm2 * 1e6 / (scanner.object_grid_um * scanner.row_pitch_um)
    lines = [
        "| tube | mask, µm | mask, mrad | attenuation | dark-field | the same | uncorrected |",
        "|---|---|---|---|---|---|---|",
    ]
    clean = {m: scanned(m, State(), correct=True, native_rows=native_rows) for m in MATERIALS}
    for state in STATES:
        cells = []
        for correct in (True, False):
            change = []
            for material in MATERIALS:
                means, spreads = clean[material]
                found, _ = scanned(material, state, correct=correct, native_rows=native_rows)
                change.append(np.abs(found - means) / (spreads / np.sqrt(pixels)))
            both = np.concatenate(change, axis=-1)
            cells += [f"{np.median(both[s]):.1f} / {both[s].max():.1f}" for s in range(2)]
        lines.append(f"| {state} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def decisions(bags: DriftedBags, judges: Mapping[str, LaneDetector], conditions: Sequence[str]) -> str:
    """Markdown: every bag under each condition, and how many decisions changed, for each detector."""
    parts = []
    for name, detector in judges.items():
        judged = list(decide(bags, detector, conditions))
        who = f"{detector.identity.id} {detector.identity.version}, threshold {detector.threshold:.3f}"
        table = "\n".join([heading(conditions), *(line(bag) for bag in judged)])
        parts.append(f"## {name} ({who})\n\n{table}\n\n{summary(judged)}")
    return "\n\n".join(parts)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m training.drift", description=__doc__)
    parser.add_argument("--native-rows", type=int, help="part of the field; default 1024, and all of it for bags")
    parser.add_argument("--bags", type=int, default=0, help="decisions over so many bags instead of signals")
    parser.add_argument("--keep", type=Path, help="with --bags: folder of the retrieved bags, made where missing")
    parser.add_argument("--bundle", type=Path, help="with --bags: folder of a fused bundle; default: the shipped one")
    parser.add_argument("--keys", type=Path, help="folder of the bundle's keys; default: keys beside it")
    parser.add_argument("--fused-only", action="store_true", help="with --bags: not the discriminator alone as well")
    parser.add_argument(
        "--conditions", nargs="+", choices=tuple(CONDITIONS), default=tuple(CONDITIONS), help="with --bags: only these"
    )
    parser.add_argument("--processes", type=int, default=1, help="that make bags (default %(default)s)")
    given = parser.parse_args()
    if given.bags:
        if given.keep is None:
            parser.error("--bags needs --keep FOLDER: the retrieved bags take 7 GB for 50 of the whole field")
        native_rows = given.native_rows or NATIVE_ROWS
        try:
            bags = drifted_bags(given.keep, given.bags, native_rows)
            judges = detectors(lane_config(native_rows, given.keep), given.bundle, given.keys)
        except ValueError as error:
            parser.error(str(error))
        if given.fused_only:
            del judges[ALONE]
        bags.make(given.processes)
        conditions = [STEADY, *(c for c in given.conditions if c != STEADY)]
        print(f"Simulated.\n\n{decisions(bags, judges, conditions)}")
        return
    print(f"Median / largest change over {', '.join(MATERIALS)}, all steps and both bins, in 1-σ; simulated.\n")
    print(table(given.native_rows or 1024))


if __name__ == "__main__":
    main()
