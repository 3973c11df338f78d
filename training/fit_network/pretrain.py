"""``python -m training.fit_network.pretrain``: trains our network on many simulated scans for others to go on from.

Their scene seeds must be other ones than those of the data sets that are trained with and tested on later.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

import torch

from training import dataset
from training.dataset import Scans
from training.fit_network import grain, loop, machine, start
from training.fit_network.channels import CHANNELS, planes_of
from training.fit_network.inputs import Store
from training.fit_network.presets import PRETRAINING, GrainPreset, preset


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.fit_network.pretrain", description=__doc__)
    parser.add_argument("kind", choices=("study1", "study1-small", "study2", "lane"))
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights, one file per set of channels")
    parser.add_argument("--channels", choices=tuple(CHANNELS), default="all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="results are the same only for the same number")
    parser.add_argument("--steps", type=int, help="fewer or more than the preset has")
    parser.add_argument("--scans", type=int, help="only the first so many of the data set")
    parser.add_argument("--without", metavar="MATERIAL", help="leave out the scans of a material")
    parser.add_argument("--loaders", type=int, help="processes that prepare batches; any number gives the same ones")
    parser.add_argument("--start", type=Path, help="folder of weights to go on from in turn")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    machine.use_loaders(given.loaders)
    chosen = preset(f"{given.kind}-{PRETRAINING}")
    assert isinstance(chosen, GrainPreset)
    if given.steps:
        chosen = replace(chosen, steps=given.steps)
    scans = dataset.open(given.data)
    learnt = _chosen(scans, given.scans, given.without)
    save = given.out / f"{given.channels}.training.pt"
    before = start.load(given.start, given.channels) if given.start else None
    seeds = [entry.seed for entry in scans.manifest.scans]
    ranges = (*(before.seeds if before else ()), (min(seeds), max(seeds)))
    path = given.out / f"{given.channels}.pt"
    left_out = f" without {given.without}" if given.without else ""
    went_on = f", gone on from {before.source.sha256[:16]}" if before else ""
    note = f"{len(learnt)} scans{left_out}, {chosen.steps} batches of {chosen.batch}, seed {given.seed}{went_on}"
    if path.is_file():  # a stopped `make train` goes on behind it
        there = start.load(given.out, given.channels)
        if there.width == chosen.width and there.source.source == start.told(ranges, scans.manifest.sha256, note):
            print(f"{path}: is there already")
            return 0
    store = Store(scans)
    store.prepare(os.cpu_count() or 1)
    trained = grain.fit(chosen, store, learnt, planes_of(given.channels), given.seed, save, _say, before)
    start.save(path, trained.network, ranges, scans.manifest.sha256, note)
    save.unlink()
    print(path)
    return 0


def _chosen(scans: Scans, count: int | None, without: str | None) -> list[int]:
    """Scans to learn from. ValueError for a count or a material that the data set does not have."""
    entries = scans.manifest.scans
    if count is not None and not 1 <= count <= len(entries):
        raise ValueError(f"--scans {count}: {scans.folder} has {len(entries)}; use 1 to {len(entries)}")
    known = sorted({entry.material for entry in entries if entry.material})
    if without is not None and without not in known:
        raise ValueError(f"--without {without}: {scans.folder} has no such material; use one of {', '.join(known)}")
    return [k for k, entry in enumerate(entries[:count]) if without is None or entry.material != without]


def _say(progress: loop.Progress) -> None:
    print(f"{progress.step} / {progress.steps}  loss {progress.loss:.4f}  {progress.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
