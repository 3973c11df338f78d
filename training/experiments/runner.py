"""Makes the runs of a plan one after the other and keeps each as a JSON file, so that a stopped experiment goes on."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kernels.types import F64
from training.dataset import Scans
from training.dataset.manifest import Split
from training.experiments.parts import number, part
from training.experiments.runs import Experiment, Run
from training.experiments.statistics import Answers

#: One training and test: run, scans, split, seed, folder for what may be kept.
Trainer = Callable[[Run, Scans, Split, int, Path], "Outcome"]
#: Told before every run: which, how many are done, of how many.
Progress = Callable[[Run, int, int], None]


class RunFileError(ValueError):
    """The file of a run cannot be used; names the file and what is wrong."""


@dataclass(frozen=True)
class Outcome:
    """What a trainer returns: probabilities of a threat in the order of the split's test scans, and what it used.

    ``seconds``: of the test alone; ``settings``: of the preset, as text; ``weights``: what the network started from.
    """

    scores: F64
    settings: str
    weights: str
    metrics: dict[str, float]
    seconds: float


@dataclass(frozen=True)
class Finished:
    """One run with all that is needed to repeat it."""

    run: Run
    tested: Answers
    record: dict[str, Any]


def wanted(experiments: Sequence[Experiment], ours: Sequence[str], trunks: Sequence[str]) -> list[Run]:
    """Runs of ``experiments`` with the presets ``ours`` and with the paper's on ``trunks``, each once, split by split.

    A run that is timed in one place is timed for all.
    """
    runs: dict[str, Run] = {}
    for run in (run for experiment in experiments for bar in experiment.bars for run in bar.runs):
        if run.preset in ours or any(f"-{trunk}" in run.preset for trunk in trunks):
            earlier = runs.get(run.name)
            runs[run.name] = run if earlier is None or run.timed else earlier
    return sorted(runs.values(), key=lambda run: number(run.part) if run.part.startswith("split") else len(runs))


def execute(
    runs: Sequence[Run], sets: Mapping[str, Scans], folder: Path, trainer: Trainer, seed: int,
    progress: Progress = lambda run, done, total: None,
) -> None:  # fmt: skip
    """Make every run that ``folder`` does not hold yet and whose data set is one of ``sets``.

    The training's seed is ``seed`` plus the number of the part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = [run for run in runs if run.data in sets]
    for done, run in enumerate(runs):
        progress(run, done, len(runs))
        scans = sets[run.data]
        path = folder / f"{run.name}.json"
        if path.is_file():
            _check(read(path), path, scans, seed)
            continue
        split = part(scans, run.part)
        keep = folder / f"{run.name}.cache" if run.timed else folder.parent / "cache"
        if run.timed:
            shutil.rmtree(keep, ignore_errors=True)  # of a stopped run: time is only honest from the start
        began = time.monotonic()
        outcome = trainer(run, scans, split, seed + number(run.part), keep)
        record = {
            "simulated": True,
            "run": asdict(run),
            "dataset_sha256": scans.manifest.sha256,
            "seed": seed + number(run.part),
            "settings": outcome.settings,
            "weights": outcome.weights,
            "metrics": {name: _rounded(value) for name, value in outcome.metrics.items()},
            "test_s": round(outcome.seconds, 2),
            "total_s": round(time.monotonic() - began, 1),
            "trained": len(split.train),
            "tested": list(split.test),
            "labels": [scans.manifest.scans[k].label for k in split.test],
            "scores": [round(float(score), 6) for score in outcome.scores],
        }
        partial = path.with_suffix(".part")
        partial.write_text(json.dumps(record) + "\n", encoding="utf-8")
        partial.replace(path)
        if run.timed:
            shutil.rmtree(keep, ignore_errors=True)


def finished(folder: Path) -> dict[str, Finished]:
    """All runs in ``folder``, by name."""
    found = (read(path) for path in sorted(folder.glob("*.json")))
    return {one.run.name: one for one in found}


def read(path: Path) -> Finished:
    """One run's file; RunFileError when it is damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        scores, labels = np.array(record["scores"], np.float64), np.array(record["labels"], np.int64)
        tested = Answers(scores, labels, tuple(record["tested"]), int(record["trained"]), float(record["test_s"]))
        if not len(scores) == len(labels) == len(tested.indices):
            raise ValueError("scores, labels and tested scans differ in number")
        return Finished(Run(**record["run"]), tested, record)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFileError(f"{path}: not a finished run ({error}); remove it to make it again") from error


def _check(one: Finished, path: Path, scans: Scans, seed: int) -> None:
    expected = {"dataset_sha256": scans.manifest.sha256, "seed": seed + number(one.run.part)}
    for name, value in expected.items():
        if one.record[name] != value:
            raise RunFileError(f"{path}: {name} is {one.record[name]}, now {value}; give another folder or remove it")


def _rounded(value: float) -> float | None:
    return round(float(value), 6) if np.isfinite(value) else None
