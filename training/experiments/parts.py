"""Which scans a run trains with and which it is tested on, by a name that says so."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

from training.dataset import Scans
from training.dataset.manifest import Split

#: Folds of cross-validation; the seed of how scans are dealt to them.
FOLDS: Final = 5
FOLD_SEED: Final = 1
_SPLIT, _FOLD, _WITHOUT = re.compile(r"split-(\d+)"), re.compile(r"fold-(\d+)"), re.compile(r"without-(\w+)")
_SOME = re.compile(r"some-(\d+)")


def part(scans: Scans, name: str) -> Split:
    """The split ``name`` of a data set.

    ``split-N``: one of the manifest's. ``fold-N``: one of :data:`FOLDS` folds of what split 0 trains with.
    ``without-MATERIAL``: trains with everything but the material (and what split 0 tests on of the other label), tests
    on all of the material and on that rest. ``some-N``: split 0 with only N of its scans to train with, both labels
    alike; a larger N adds to a smaller one's. ValueError for other names.
    """
    if found := _SPLIT.fullmatch(name):
        return Split(train=scans.split("train", int(found[1])).indices, test=scans.split("test", int(found[1])).indices)
    if found := _FOLD.fullmatch(name):
        return scans.split("train").folds(FOLDS, FOLD_SEED)[int(found[1])]
    if found := _WITHOUT.fullmatch(name):
        return _without(scans, found[1])
    if found := _SOME.fullmatch(name):
        return _some(scans, int(found[1]))
    raise ValueError(f"part {name!r}: use split-N, fold-N, some-N or without-MATERIAL")


def number(name: str) -> int:
    """Number of a split or fold, else 0: trainings on different ones start from different seeds."""
    found = _SPLIT.fullmatch(name) or _FOLD.fullmatch(name)
    return int(found[1]) if found else 0


def _without(scans: Scans, material: str) -> Split:
    entries = scans.manifest.scans
    left_out = {k for k, entry in enumerate(entries) if entry.material == material}
    if not left_out:
        known = sorted({entry.material for entry in entries if entry.material})
        raise ValueError(f"material {material!r} is not in the data set; use one of {', '.join(known)}")
    label = entries[min(left_out)].label
    others = {k for k in scans.split("test").indices if entries[k].label != label}
    tested = left_out | others
    return Split(train=tuple(k for k in range(len(entries)) if k not in tested), test=tuple(sorted(tested)))


def _some(scans: Scans, count: int) -> Split:
    train = scans.split("train")
    rng = np.random.default_rng([FOLD_SEED, 0x50E])
    kept: list[int] = []
    for label in (0, 1):
        members = rng.permutation(np.flatnonzero(train.labels == label))
        kept += members[: count // 2].tolist()
    if len(kept) != count // 2 * 2:
        raise ValueError(f"part some-{count}: split 0 trains with {len(train)} scans only")
    return Split(train=train.take(sorted(kept)).indices, test=scans.split("test").indices)
