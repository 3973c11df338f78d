"""Reading a data set: a sequence of scans, its splits, and folds of a part of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from training.dataset.manifest import DatasetError, Entry, Manifest, Split, read_manifest
from training.dataset.scan_file import Scan, read

Part = Literal["train", "test"]


class Scans(Sequence[Scan]):
    """Scans of a data set, or of a part of one, read from disk when asked for.

    ``manifest``: of the whole data set; ``indices``: which of its scans these are; ``entries``: what is known of them
    without reading.
    """

    def __init__(self, folder: Path, manifest: Manifest, indices: Sequence[int]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.indices: tuple[int, ...] = tuple(indices)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Lines of the manifest, in the order of the scans."""
        return tuple(self.manifest.scans[i] for i in self.indices)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        """1 with a threat, else 0: (n,)."""
        return np.array([entry.label for entry in self.entries], np.int64)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the scenes."""
        return tuple(entry.seed for entry in self.entries)

    def __len__(self) -> int:
        return len(self.indices)

    @overload
    def __getitem__(self, index: int) -> Scan: ...
    @overload
    def __getitem__(self, index: slice) -> Scans: ...
    def __getitem__(self, index: int | slice) -> Scan | Scans:
        """Read one scan; a slice reads nothing yet."""
        if isinstance(index, slice):
            return Scans(self.folder, self.manifest, self.indices[index])
        return read(self.folder / self.manifest.scans[self.indices[index]].file)

    def __iter__(self) -> Iterator[Scan]:
        return (self[k] for k in range(len(self)))

    def take(self, positions: Sequence[int]) -> Scans:
        """The scans at ``positions`` of these ones."""
        return Scans(self.folder, self.manifest, [self.indices[k] for k in positions])

    def of(self, indices: Sequence[int]) -> Scans:
        """The scans with ``indices`` in the whole data set."""
        return Scans(self.folder, self.manifest, indices)

    def split(self, part: Part, number: int = 0) -> Scans:
        """The scans of these that split ``number`` trains with or tests on; DatasetError when it does not exist."""
        splits = self.manifest.splits
        if not 0 <= number < len(splits):
            raise DatasetError(f"{self.folder}: split {number} does not exist; there are {len(splits)}, from 0")
        chosen = set(getattr(splits[number], part))
        return self.of([i for i in self.indices if i in chosen])

    def folds(self, count: int, seed: int) -> list[Split]:
        """``count`` splits (of indices in the whole data set) with every scan tested once; both labels in every fold.

        ValueError when there are fewer scans of a label than folds.
        """
        rng = np.random.default_rng([seed, 0xF01D])
        fold = np.zeros(len(self), np.int64)
        for label in (0, 1):
            members = np.flatnonzero(self.labels == label)
            if len(members) < count:
                raise ValueError(f"count = {count}: only {len(members)} scans have label {label}")
            fold[rng.permutation(members)] = np.arange(len(members)) % count
        at = np.array(self.indices)
        return [Split(train=tuple(at[fold != k].tolist()), test=tuple(at[fold == k].tolist())) for k in range(count)]

    def verify(self) -> None:
        """Read every scan and compare its content with the manifest's hash; ValueError names the first that differs."""
        for entry in self.entries:
            scan = read(self.folder / entry.file, sha256=entry.sha256)
            if scan.truth["seed"] != entry.seed or scan.label != entry.label:
                raise DatasetError(f"{self.folder / entry.file}: is not the scan that the manifest lists")


def open(folder: Path | str) -> Scans:
    """Open a data set; DatasetError names what is missing or damaged."""
    folder = Path(folder)
    manifest = read_manifest(folder)
    missing = [entry.file for entry in manifest.scans if not (folder / entry.file).is_file()]
    if missing:
        raise DatasetError(
            f"{folder}: {len(missing)} scans are missing, first {missing[0]}; run the same command again"
        )
    return Scans(folder, manifest, range(len(manifest.scans)))
