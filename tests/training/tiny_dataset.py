"""A data set of a few small scans for tests: drawn, not simulated, so that it costs nothing.

Threats differ from the rest by a square with dark-field in it; attenuation tells nothing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edge.inference.planes import BINS
from training.dataset import Retrieved, Scan, Scans
from training.dataset import open as open_dataset
from training.dataset.manifest import Entry, Manifest, Recipe, Split, content_hash, write_manifest
from training.dataset.scan_file import BENIGN, NOTHING, THREAT, write

SHAPE = (48, 56)
#: Of the scans in turn, every other one a threat.
MATERIALS = ("C4", "soap", "TNT", "sugar")
ITEMS = ("laptop", "phone", "hair_dryer")


def scan(seed: int, label: int, shape: tuple[int, int] = SHAPE) -> Scan:
    """One drawn scan."""
    rng = np.random.default_rng([seed, 0x71])
    rows, columns = shape
    mean = np.array([0.8, 0.0, 5.0, 0.8])[:, None, None, None] * np.ones((1, len(BINS), rows, columns))
    top, left = (int(rng.integers(4, size // 2 - 4)) for size in shape)
    box = (slice(top, top + rows // 3), slice(left, left + columns // 3))
    mean[(0, slice(None), *box)] = 0.6
    mean[(2, slice(None), *box)] += 60.0 * label
    sd = np.array([0.01, 0.1, 5.0, 0.02])[:, None, None, None]
    mask = np.full(shape, NOTHING, np.uint8)
    mask[box] = THREAT if label else BENIGN
    sigma = np.broadcast_to(sd, mean.shape).astype(np.float32)
    flags = np.zeros(mean.shape[1:], np.uint16)
    images, paper = ((mean + sd * rng.standard_normal(mean.shape)).astype(np.float32) for _ in range(2))
    salient = [top, top + rows // 3, left, left + columns // 3]
    truth = {"label": label, "seed": seed, "kind": ITEMS[seed % 3], "salient_px": salient, "objects": []}
    truth["target"] = {"material": "C4"} if label else None
    return Scan(f"scan-{seed:05d}", images, sigma, flags, mask, truth, Retrieved(paper, sigma, flags))


def make(folder: Path, scans: int = 12, seed: int = 100, shape: tuple[int, int] = SHAPE, splits: int = 3) -> Scans:
    """Write a data set of ``scans`` drawn scans, labels in turn, with ``splits`` splits 2 : 1, and open it."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(
        kind="study1", seed=seed, scans=scans, scanner={}, emulator={}, binning=1, retrievals=("map", "paper")
    )
    entries = []
    for k in range(scans):
        made = scan(seed + k, 1 - k % 2, shape)
        file = f"{made.name}.h5"
        sha256 = write(folder / file, made, recipe.scan_sha256())
        entries.append(
            Entry(
                file=file,
                seed=seed + k,
                label=made.label,
                item=made.truth["kind"],
                material=MATERIALS[k % len(MATERIALS)],
                thickness_mm=10.0,
                sha256=sha256,
            )
        )
    rng = np.random.default_rng(seed)
    made_splits = []
    for _ in range(splits):
        pairs = rng.permutation(scans // 2)
        test = {2 * int(p) + side for p in pairs[: max(1, scans // 6)] for side in (0, 1)}
        made_splits.append(Split(train=tuple(k for k in range(scans) if k not in test), test=tuple(sorted(test))))
    write_manifest(
        folder,
        Manifest(
            recipe=recipe,
            pixel_um=(300.0, 300.0),
            sha256=content_hash(recipe, entries),
            splits=tuple(made_splits),
            scans=tuple(entries),
            software={"darklane": "test"},
        ),
    )
    return open_dataset(folder)
