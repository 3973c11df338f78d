"""A data set of tiny invented scans: discs of equal attenuation, of which those of threats have more dark-field."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.dataset import Scans
from training.dataset import open as open_data
from training.dataset.manifest import Entry, Manifest, Recipe, Split, content_hash, write_manifest
from training.dataset.scan_file import BENIGN, NOTHING, THREAT, Retrieved, Scan, write

SIZE = 96
RADIUS = 24
DARK_FIELD = {0: 10.0, 1: 60.0}
ITEMS = ("laptop", "phone", "hair_dryer")


def scan(seed: int, label: int) -> Scan:
    """One scan with a disc somewhere."""
    rng = np.random.default_rng([seed, label])
    row, column = rng.integers(RADIUS, SIZE - RADIUS, 2)
    r, c = np.mgrid[:SIZE, :SIZE]
    disc = (r - row) ** 2 + (c - column) ** 2 < RADIUS**2
    images = np.zeros((4, 2, SIZE, SIZE))
    for bin_, (attenuation, dark_field) in enumerate(((0.5, 1.0), (0.3, 0.4))):
        images[0, bin_] = np.exp(-attenuation * disc)
        images[2, bin_] = DARK_FIELD[label] * dark_field * disc * rng.uniform(0.5, 1.5, disc.shape)
        images[3, bin_] = np.exp(-0.8 * attenuation * disc)
    sigma = np.broadcast_to(np.array([0.01, 0.2, 4.0, 0.02])[:, None, None, None], images.shape)
    images = (images + sigma * rng.standard_normal(images.shape)).astype(np.float32)
    mask = np.where(disc, THREAT if label else BENIGN, NOTHING).astype(np.uint8)
    flags = np.zeros((2, SIZE, SIZE), np.uint16)
    truth = {"label": label, "seed": seed, "kind": ITEMS[seed % 3]}
    retrieved = Retrieved(images, np.ascontiguousarray(sigma, np.float32), flags)
    return Scan(f"small-{seed}", **vars(retrieved), mask=mask, truth=truth, paper=retrieved)


def data_set(folder: Path, count: int = 16) -> Scans:
    """Write ``count`` scans, every other one a threat, and open them."""
    recipe = Recipe(
        kind="study1", seed=0, scans=count, scanner={"tube_kv": 80}, emulator={}, binning=1, retrievals=("map", "paper")
    )
    entries = []
    folder.mkdir(parents=True)
    for k in range(count):
        made = scan(k, k % 2)
        file = f"{made.name}.h5"
        digest = write(folder / file, made, recipe.sha256())
        entries.append(
            Entry(
                file=file, seed=k, label=made.label, item=ITEMS[k % 3], material=None, thickness_mm=None, sha256=digest
            )
        )
    split = Split(train=tuple(range(count - 4)), test=tuple(range(count - 4, count)))
    manifest = Manifest(
        recipe=recipe,
        pixel_um=(300.0, 300.0),
        sha256=content_hash(recipe, entries),
        splits=(split,),
        scans=tuple(entries),
    )
    write_manifest(folder, manifest)
    return open_data(folder)
