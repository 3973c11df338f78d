"""Fit the material discriminator on simulated samples and bags, and write its model file.

``python -m training.reference`` writes ``edge/inference/models/materials-<kV>kvp.json`` for both tube voltages;
some five minutes each on two free cores. Same command, same file, to the last digit that the platform's libm agrees on.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from importlib import metadata
from pathlib import Path

import edge.inference
from edge.inference.model_file import ModelFile
from firmware_bridge.emulator.materials import all_materials
from kernels.types import F64
from training.bags import items
from training.decide import decide
from training.examined import examine_all
from training.model import assemble
from training.samples import Sample, collect, reference_lane
from training.seeds import TRAINING
from training.simulate import SimulatedLane

VERSION = "0.2.0"
#: Bags that choose clutter, decision and threshold.
TRAINING_BAGS = 240
MODELS = Path(edge.inference.__file__).parent / "models"


@lru_cache(maxsize=1)
def _lane(tube_kv: int) -> SimulatedLane:
    return reference_lane(tube_kv)


def _collect(name: str, tube_kv: int) -> tuple[str, list[Sample], list[F64]]:
    return (name, *collect(_lane(tube_kv), name))


def fit(tube_kv: int, bags: int, processes: int, log: bool = True) -> ModelFile:
    """Reference samples, class regions, training bags, decision: one complete model."""
    started = time.monotonic()

    def say(text: str) -> None:
        if log:
            print(f"{tube_kv} kVp, {time.monotonic() - started:5.0f} s: {text}", flush=True)

    say(f"reference samples of {len(all_materials())} materials")
    with ProcessPoolExecutor(processes) as pool:
        collected = list(pool.map(partial(_collect, tube_kv=tube_kv), all_materials()))
    samples = {name: taken for name, taken, _ in collected}
    floors = [floor for _, _, found in collected for floor in found]
    model = assemble(samples, floors, tube_kv, VERSION, f"darklane {metadata.version('darklane')}")
    say(f"{bags} training bags")
    examined = examine_all(items(TRAINING, bags), tube_kv, TRAINING[0], processes)
    say("clutter, decision, threshold")
    model = decide(model, examined, TRAINING[0]).sealed()
    manifest = model.manifest
    say(
        f"threshold {model.threshold:.3f}: {manifest.training_detections} of {manifest.training_targets} targets, "
        f"{manifest.training_false_alarms} of {bags - manifest.training_targets} clean bags alarmed (cross-validated)"
    )
    return model


def main() -> int:
    """Command line of ``python -m training.reference``."""
    parser = argparse.ArgumentParser(prog="python -m training.reference", description=__doc__)
    parser.add_argument("--kv", type=int, choices=(80, 120), action="append", help="tube voltage; default: both")
    parser.add_argument("--bags", type=int, default=TRAINING_BAGS, help="training bags (default %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=MODELS, help="folder of the model files")
    arguments = parser.parse_args()
    for tube_kv in arguments.kv or (80, 120):
        path = arguments.out / f"materials-{tube_kv}kvp.json"
        fit(tube_kv, arguments.bags, arguments.processes).save(path)
        print(path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
