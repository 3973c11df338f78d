"""A data set whose labels mean nothing: what is trained on it must end at chance, or something leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from training import dataset
from training.dataset import Scans
from training.dataset.manifest import Entry, content_hash, write_manifest
from training.dataset.scan_file import BENIGN, THREAT, write


def shuffled(scans: Scans, folder: Path, seed: int) -> Scans:
    """Copy ``scans`` to ``folder`` with labels dealt anew at random, as many of each; masks are relabelled to match.

    Every split keeps its scans. For data sets in which every scan holds one sample, as study 1.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.random.default_rng([seed, 0x54F1]).permutation(scans.labels)
    recipe = scans.manifest.recipe
    entries: list[Entry] = []
    for entry, label in zip(scans.manifest.scans, labels.tolist(), strict=True):
        scan = scans[len(entries)]
        sample = (scan.mask == THREAT) | (scan.mask == BENIGN)
        mask = np.where(sample, THREAT if label else BENIGN, scan.mask).astype(np.uint8)
        truth = scan.truth | {"label": label, "shuffled": True}
        sha256 = write(folder / entry.file, replace(scan, mask=mask, truth=truth), recipe.scan_sha256())
        entries.append(entry.model_copy(update={"label": label, "sha256": sha256}))
    manifest = scans.manifest.model_copy(
        update={
            "scans": tuple(entries),
            "sha256": content_hash(recipe, entries),
            "command": f"{scans.manifest.command} (labels shuffled with seed {seed})",
        }
    )
    write_manifest(folder, manifest)
    return dataset.open(folder)
