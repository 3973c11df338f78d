"""``python -m training.experiments``: runs a study on a data set and writes its report."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from training import dataset
from training.dataset import Scans
from training.dataset.make import make
from training.dataset.manifest import MANIFEST
from training.dataset.recipes import STUDY1_SPLITS, recipe
from training.experiments import pretrainings
from training.experiments.coverage import by_coverage, coverage
from training.experiments.leakage import shuffled
from training.experiments.plan import TRUNKS, WITHOUT, Study, plan
from training.experiments.report import page
from training.experiments.results import as_json
from training.experiments.runner import Finished, Trainer, execute, finished, wanted
from training.experiments.runs import Experiment, Run

#: Splits of a quick experiment, and what it leaves out unless asked for.
QUICK_SPLITS = 2
NOT_QUICK = ("k_fold", "leave_one_out", "learning")
#: End of the names of presets that go on from other weights; the one named as the study does not.
PRETRAINED = "-pretrained"
#: Of the labels that mean nothing.
SHUFFLE_SEED = 1
TITLES: dict[Study, str] = {
    "study1": "Study 1: explosives among overlapping materials",
    "study2": "Study 2: explosive hidden in electrical items",
}


def main(arguments: list[str] | None = None, trainer: Trainer | None = None) -> int:
    """The command line; returns the exit code. ``trainer``: instead of the networks."""
    given = parser().parse_args(arguments)
    try:
        return _run(given, trainer)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on from here", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The options; `darklane experiment` takes the same ones."""
    parser = argparse.ArgumentParser(prog="darklane experiment", description=__doc__)
    parser.add_argument("study", choices=tuple(TITLES))
    parser.add_argument("--data", type=Path, help="data set; made when there is none")
    parser.add_argument("--second", type=Path, help="data set of other scene seeds")
    parser.add_argument("--shuffled", action="store_true", help="also train on labels dealt at random")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=STUDY1_SPLITS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--preset", help="preset of our network")
    parser.add_argument("--trunk", action="append", choices=tuple(TRUNKS))
    parser.add_argument("--only", action="append")
    parser.add_argument("--match", help="only runs with this in their name")
    parser.add_argument("--share", metavar="K/N", help="every N-th run from the K-th: for N processes side by side")
    parser.add_argument("--loaders", type=int, help="processes that prepare batches of our network")
    parser.add_argument("--weights", type=Path, help="ImageNet weights of the trunks: a file, or the folder of several")
    parser.add_argument("--textures", type=Path, help="folder of the Describable Textures Dataset, for type II")
    parser.add_argument("--start", type=Path, help="folder of the weights that a pretrained preset goes on from")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--report-only", action="store_true")
    return parser


def _run(given: argparse.Namespace, trainer: Trainer | None) -> int:
    study: Study = given.study
    runs_folder = given.out / "runs"
    if any(runs_folder.glob("*.json")) and not (given.resume or given.report_only):
        raise ValueError(f"{given.out}: holds an experiment; give --resume to go on, or another folder")
    scans = _scans(study, given)
    ours = given.preset or (f"{study}-quick" if given.quick else study)
    trunks = given.trunk or ["lite0"]
    splits = min(QUICK_SPLITS, given.splits) if given.quick else given.splits
    splits = min(splits, len(scans.manifest.splits))
    base = ours.partition("@")[0]
    scratch = study if base.endswith(PRETRAINED) else None
    if ours.startswith(pretrainings.SMALL):
        experiments = pretrainings.plan(ours, splits)
    else:
        experiments = plan(study, ours, trunks, splits, len(scans.split("train")), scratch)
    if not given.report_only:
        chosen = _only(experiments, given.only, quick=given.quick)
        if trainer is None:
            from training.experiments.trainer import trainer as of_networks  # noqa: PLC0415 - loads PyTorch

            trainer = of_networks(
                weights=given.weights, start=given.start, loaders=given.loaders, textures=given.textures
            )
        runs = [
            run
            for run in wanted(chosen, [ours, base, *([scratch] if scratch else [])], trunks)
            if (given.match or "") in run.name
        ]
        runs = [run for run in runs if run.preset not in (ours, base) or not _lacks(run, given.start)]
        first, step = _share(given.share)
        runs = runs[first::step]
        execute(runs, _sets(study, scans, given), runs_folder, trainer, given.seed, _tell)
    _write(study, experiments, scans, given)
    return 0


def _scans(study: Study, given: argparse.Namespace) -> Scans:
    folder = given.data or given.out / "data"
    if not (folder / MANIFEST).is_file():
        print(f"no data set in {folder}: making one", file=sys.stderr)
        make(recipe(study, quick=given.quick), folder, workers=os.cpu_count() or 1)
    return _of(study, folder)


def _lacks(run: Run, start: Path | None) -> bool:
    """Whether a comparison cannot be made because nobody trained its weights; the study's own must be there."""
    if start is None or not (run.start or run.channels not in ("all", WITHOUT)):
        return False
    path = start / run.start / f"{run.channels}.pt"
    if path.is_file():
        return False
    print(f"not run: {run.name}, which goes on from {path}", file=sys.stderr)
    return True


def _share(text: str | None) -> tuple[int, int]:
    """First run and step of a share K/N; ValueError when it is not one."""
    first, _, count = (text or "0/1").partition("/")
    if not (first.isdecimal() and count.isdecimal() and int(first) < int(count)):
        raise ValueError(f"--share {text}: use K/N with K from 0 to N - 1")
    return int(first), int(count)


def _sets(study: Study, scans: Scans, given: argparse.Namespace) -> dict[str, Scans]:
    """The data sets that runs are made on, by name."""
    sets = {"own": scans}
    if given.second is not None:
        sets["second"] = _of(study, given.second)
        if set(sets["second"].seeds) & set(scans.seeds):
            raise ValueError(f"{given.second}: shares scene seeds with {scans.folder}; make it with another --seed")
    if given.shuffled:
        folder = given.out / "shuffled"
        there = (folder / MANIFEST).is_file()
        sets["shuffled"] = dataset.open(folder) if there else shuffled(scans, folder, SHUFFLE_SEED)
    return sets


def _of(study: Study, folder: Path) -> Scans:
    scans = dataset.open(folder)
    if scans.manifest.recipe.kind != study:
        raise ValueError(f"{folder}: is a data set of {scans.manifest.recipe.kind}; {study} needs its own")
    return scans


def _only(experiments: list[Experiment], names: list[str] | None, *, quick: bool) -> list[Experiment]:
    known = [experiment.name for experiment in experiments]
    for name in names or []:
        if name not in known:
            raise ValueError(f"--only {name}: use one of {', '.join(known)}")
    left_out = NOT_QUICK if quick else ()
    return [one for one in experiments if (one.name in names if names else one.name not in left_out)]


def _tell(run: Run, done: int, total: int) -> None:
    print(f"{time.strftime('%H:%M:%S')} {done} of {total}: {run.name}", file=sys.stderr, flush=True)


def _write(study: Study, experiments: list[Experiment], scans: Scans, given: argparse.Namespace) -> None:
    runs = finished(given.out / "runs")
    about = _about(study, scans, given)
    given.out.mkdir(parents=True, exist_ok=True)
    tables = _coverage(experiments, runs, scans) if study == "study1" else {}
    data = as_json(experiments, runs, scans, about) | {"coverage": tables}
    (given.out / f"{study}.json").write_text(json.dumps(data, indent=None) + "\n", encoding="utf-8")
    (given.out / f"{study}.html").write_text(
        page(_title(study, given.preset), experiments, runs, scans, about, tables), encoding="utf-8"
    )
    print(f"{len(runs)} runs; report in {given.out / study}.html, numbers in {study}.json; everything is simulated")


def _title(study: Study, preset: str | None) -> str:
    small = (preset or "").startswith(pretrainings.SMALL)
    return f"{TITLES[study]}: small pretrainings compared" if small else TITLES[study]


def _coverage(experiments: list[Experiment], runs: dict[str, Finished], scans: Scans) -> dict[str, Any]:
    """Answers by coverage, for every bar of the comparison with and without dark-field that was run."""
    bars = [bar for one in experiments if one.name == "dark_field" for bar in one.bars]
    done = {bar.label: [runs[run.name] for run in bar.runs if run.name in runs] for bar in bars}
    if not any(done.values()):
        return {}
    part = coverage(scans)
    return {label: by_coverage(some, part) for label, some in done.items() if some}


def _about(study: Study, scans: Scans, given: argparse.Namespace) -> dict[str, Any]:
    manifest = scans.manifest
    packages = {name: version(name) for name in ("darklane", "numpy", "torch") if _there(name)}
    return {
        "study": study,
        "preset_of_our_network": given.preset or study,
        "dataset_command": manifest.command,
        "dataset_sha256": manifest.sha256,
        "scene_seeds": f"{manifest.recipe.seed} to {manifest.recipe.seed + manifest.recipe.scans - 1}",
        "pixel_mm": " × ".join(f"{um / 1e3:.3f}" for um in manifest.pixel_um),
        "belt_mm_s": manifest.recipe.scanner.get("belt_speed_mm_s"),
        "seed_of_training": f"{given.seed} + number of the split",
        "software": ", ".join(f"{name} {number}" for name, number in packages.items()),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {_device()}",
    }


def _device() -> str:
    if not _there("torch"):
        return "no GPU used"
    from training.fit_network import machine  # noqa: PLC0415 - loads PyTorch

    return machine.name()


def _there(name: str) -> bool:
    from importlib.util import find_spec  # noqa: PLC0415

    return name == "darklane" or find_spec(name) is not None


if __name__ == "__main__":
    sys.exit(main())
