"""What a few numbers of the sample tell when somebody has shown where it lies: no picture, no texture, no clutter.

The same planes as our networks get, as medians over the sample, less what lies around it, over its attenuation; a
small network of them, trained on many simulated scans. It shows what planes are worth to a reader that is given little.

    python -m training.experiments.ratios --learn many --data study1 --out out
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from edge.inference.planes import PLANES, VALID
from kernels.types import F64
from training import dataset
from training.dataset import Scans
from training.dataset.manifest import Split
from training.dataset.scan_file import BENIGN, THREAT, RetrievalName
from training.experiments import pretrainings
from training.experiments.runner import Outcome, Trainer, execute
from training.experiments.runs import Run
from training.fit_network.channels import planes_of
from training.fit_network.inputs import Inputs, Store
from training.fit_network.metrics import I64, summary

#: Values of the planes, without their uncertainties.
VALUES: Final = tuple(name for name in PLANES if name != VALID and not name.endswith(" sd"))
_AT: Final = [PLANES.index(name) for name in VALUES]
#: Pixels that the sample's edge takes inwards, the ring around it outwards; least pixels that a median is taken of.
EDGE, RING, LEAST = 3, (4, 12), 20
#: Attenuation below which ratios are not taken; deviations beyond which numbers are cut.
THINNEST, FARTHEST = 0.02, 4.0
#: The network, trained on all scans at once; chosen by cross-validation among the scans to learn from, by scanner.
WIDTH, DROPOUT, STEPS, RATE, DECAY, MEMBERS = 64, 0.3, 400, 1e-2, 1e-2, 5


def measured(inputs: Inputs) -> F64:
    """Of every one of :data:`VALUES`: median inside the sample, median deviation from it, median around it (3, 8)."""
    sample = (inputs.mask == THREAT) | (inputs.mask == BENIGN)
    usable = np.asarray(inputs.planes[PLANES.index(VALID)]) > 0
    inside = ndimage.binary_erosion(sample, iterations=EDGE) & usable
    if inside.sum() < LEAST:
        inside = sample & usable
    away = ndimage.distance_transform_edt(~sample)
    around = (away >= RING[0]) & (away <= RING[1]) & usable
    planes = inputs.planes[_AT].astype(np.float64)
    middle = np.median(planes[:, inside], 1)
    spread = np.median(np.abs(planes[:, inside] - middle[:, None]), 1)
    outside = np.median(planes[:, around], 1) if around.any() else np.zeros(len(VALUES))
    return np.stack([middle, spread, outside])


def numbers(found: F64, planes: Sequence[str]) -> F64:
    """What is learnt from, of scans measured (n, 3, 8), with what ``planes`` have alone (n, k)."""
    net, spread = found[:, 0] - found[:, 2], found[:, 1]
    low, high = (np.maximum(net[:, VALUES.index(f"attenuation {bin_}")], THINNEST) for bin_ in ("low", "high"))
    made = [np.log(low)]
    for k, name in enumerate(VALUES):
        if name not in planes:
            continue
        over = high if name.endswith("high") else low
        if name == "attenuation high":
            made.append(high / low)
        elif name != "attenuation low":
            made.append(net[:, k] / over)
        made.append(spread[:, k] / over)
    return np.stack(made, 1)


def learnt(known: F64, labels: I64, asked: F64, seed: int) -> F64:
    """Probabilities of a threat of ``asked`` (m, k): mean of some networks that have learnt ``known`` (n, k)."""
    low, middle, high = np.quantile(known, (0.16, 0.5, 0.84), axis=0)

    def scaled(values: F64) -> torch.Tensor:
        away = (values - middle) / np.maximum((high - low) / 2, 1e-9)
        return torch.from_numpy(np.clip(away, -FARTHEST, FARTHEST).astype(np.float32))

    inputs, wanted, told = scaled(known), torch.from_numpy(labels.astype(np.float32)), np.zeros(len(asked))
    for member in range(MEMBERS):
        torch.manual_seed(MEMBERS * seed + member)
        network = nn.Sequential(
            nn.Linear(inputs.shape[1], WIDTH), nn.GELU(), nn.Dropout(DROPOUT),
            nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(WIDTH, 1),
        )  # fmt: skip
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        for _ in range(STEPS):
            optimiser.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(network(inputs)[:, 0], wanted).backward()
            optimiser.step()
            falling.step()
        network.eval()
        with torch.inference_mode():
            told += torch.sigmoid(network(scaled(asked))[:, 0]).numpy() / MEMBERS
    return told


def trainer(many: Scans) -> Trainer:
    """A trainer that learns from ``many``, or the part of it that a run's ``start`` names, and from nothing else.

    With the start :data:`pretrainings.OWN` it learns from the scans that the split trains with instead.
    """
    everything: dict[tuple[Path, RetrievalName], F64] = {}
    known: dict[tuple[str, str], F64] = {}

    def all_of(scans: Scans, retrieval: RetrievalName) -> F64:
        key = (scans.folder, retrieval)
        if key not in everything:
            store = Store(scans, retrieval)
            everything[key] = np.stack([measured(store[k]) for k in range(len(scans.manifest.scans))])
        return everything[key]

    def made(run: Run, scans: Scans, split: Split, seed: int, keep: Path) -> Outcome:
        labels = np.array([entry.label for entry in scans.manifest.scans], np.int64)
        own = run.start == pretrainings.OWN
        source, some = (scans, list(split.train)) if own else (many, part(many, run.start))
        planes, key = planes_of(run.channels), (run.channels, run.start)
        if own or key not in known:
            given, asked = (numbers(all_of(one, run.retrieval), planes) for one in (source, scans))
            wanted = np.array([source.manifest.scans[k].label for k in some], np.int64)
            known[key] = learnt(given[some], wanted, asked, 0)
        scores = known[key][list(split.test)]
        settings = f"{WIDTH}, {DROPOUT}, {STEPS}, {RATE}, {DECAY}, {MEMBERS}: {pretrainings.RATIOS}"
        told = f"{len(some)} scans ({run.start or 'all'}) of data set {source.manifest.sha256}, places of samples given"
        return Outcome(scores, settings, told, summary(scores, labels[list(split.test)]), 0.0)

    return made


def part(many: Scans, name: str) -> list[int]:
    """Scans to learn from: `scans-N` the first N, `without-MATERIAL` all but these, else all. ValueError for others."""
    entries = many.manifest.scans
    first, left_out = re.fullmatch(r"scans-(\d+)", name), re.fullmatch(r"without-(\w+)", name)
    if name and not (first or left_out):
        raise ValueError(f"start {name!r}: use scans-N or without-MATERIAL")
    count = int(first[1]) if first else len(entries)
    return [k for k, entry in enumerate(entries[:count]) if not left_out or entry.material != left_out[1]]


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code. The report is written by the experiment's own command."""
    parser = argparse.ArgumentParser(prog="python -m training.experiments.ratios", description=__doc__)
    parser.add_argument("--learn", type=Path, required=True, help="data set to learn from")
    parser.add_argument("--data", type=Path, required=True, help="data set to be judged on")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=10)
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    many, scans = dataset.open(given.learn), dataset.open(given.data)
    both = set(many.seeds) & set(scans.seeds)
    if both:
        raise ValueError(f"{given.learn}: shares scene seeds with {given.data}; make it with another --seed")
    experiments = pretrainings.plan("", min(given.splits, len(scans.manifest.splits)))
    runs = {run.name: run for one in experiments for bar in one.bars for run in bar.runs}
    wanted = [run for run in runs.values() if run.preset == pretrainings.RATIOS]
    execute(wanted, {"own": scans}, given.out / "runs", trainer(many), 0)
    print(f"{len(wanted)} runs in {given.out / 'runs'}; simulated")
    return 0


if __name__ == "__main__":
    sys.exit(main())
