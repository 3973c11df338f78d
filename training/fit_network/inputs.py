"""Planes of a data set's scans, made once, kept as files beside the scans, and mapped into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.inference.planes import PLANES, VALID, planes
from kernels.types import F32, F64, U8
from training.dataset import Scans
from training.dataset import open as open_scans
from training.dataset.scan_file import RetrievalName

F16 = npt.NDArray[np.float16]
#: Raised when the planes change their meaning: files of another number are made anew.
FORMAT = 1
#: Pixels of a scan that the scales are estimated from, at most.
_SAMPLED = 4000


@dataclass(frozen=True)
class Inputs:
    """One scan as networks see it: all :data:`PLANES` as float16 (17, rows, columns), and its mask (rows, columns)."""

    planes: F16
    mask: U8

    def chosen(self, names: Sequence[str]) -> F32:
        """The planes ``names`` as float32 (n, rows, columns)."""
        return self.planes[[PLANES.index(name) for name in names]].astype(np.float32)


class Store:
    """Planes of ``scans``, by position; the first use of each scan writes files below ``folder``."""

    def __init__(self, scans: Scans, retrieval: RetrievalName = "map", folder: Path | None = None) -> None:
        self.scans, self.retrieval = scans, retrieval
        self.folder = folder or scans.folder / f"planes-{retrieval}-{FORMAT}"
        self._open: dict[int, Inputs] = {}

    def prepare(self, workers: int) -> None:
        """Make the planes of all scans that have none yet, on ``workers`` processes."""
        missing = [k for k in range(len(self.scans.manifest.scans)) if not all(p.is_file() for p in self._files(k))]
        if workers == 1 or len(missing) < workers:
            return  # the first use of each makes them
        parts = [(self.scans.folder, self.retrieval, self.folder, missing[k::workers]) for k in range(workers)]
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            list(pool.map(_prepare, parts))

    def __getitem__(self, index: int) -> Inputs:
        """Scan ``index`` of the whole data set."""
        found = self._open.get(index)
        if found is None:
            names = self._files(index)
            if not all(path.is_file() for path in names):
                self._make(index, names)
            found = Inputs(np.load(names[0], mmap_mode="r"), np.load(names[1], mmap_mode="r"))
            self._open[index] = found
        return found

    def _files(self, index: int) -> tuple[Path, Path]:
        entry = self.scans.manifest.scans[index]
        stem = f"{Path(entry.file).stem}-{entry.sha256[:16]}"
        return self.folder / f"{stem}.npy", self.folder / f"{stem}-mask.npy"

    def _make(self, index: int, names: tuple[Path, Path]) -> None:
        scan = self.scans.of([index])[0]
        got = scan.retrieved(self.retrieval)
        self.folder.mkdir(parents=True, exist_ok=True)
        made = planes(got.images, got.sigma, got.flags).astype(np.float16)
        arrays: tuple[F16 | U8, ...] = (made, scan.mask)
        for path, array in zip(names, arrays, strict=True):
            partial = path.with_suffix(f".{os.getpid()}.part")  # several trainings may share the folder
            with partial.open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
            partial.replace(path)


def _prepare(part: tuple[Path, RetrievalName, Path, list[int]]) -> None:
    """Planes of some scans; runs in a worker."""
    folder, retrieval, planes_folder, numbers = part
    store = Store(open_scans(folder), retrieval, planes_folder)
    for k in numbers:
        store._make(k, store._files(k))


def scales(store: Store, indices: Sequence[int], seed: int) -> F32:
    """Root mean square of every plane over usable pixels of the scans ``indices`` (17,), not below 1e-3; ``valid``: 1.

    Only scans to train with may be given.
    """
    squares = [(values**2).mean(1) for values in _sampled(store, indices, seed)]
    return _floored(np.sqrt(np.mean(squares, 0)) if squares else np.ones(len(PLANES)))


def ranges(store: Store, indices: Sequence[int], seed: int, share: float = 0.998) -> F32:
    """What ``share`` of the usable pixels do not exceed, of every plane's magnitude (17,); ``valid``: 1."""
    values = list(_sampled(store, indices, seed))
    return _floored(np.quantile(np.abs(np.concatenate(values, 1)), share, axis=1) if values else np.ones(len(PLANES)))


def _sampled(store: Store, indices: Sequence[int], seed: int) -> Iterator[F64]:
    """Planes of some usable pixels of each scan (17, n)."""
    rng = np.random.default_rng([seed, 0x5CA1])
    for index in indices:
        inputs = store[index]
        rows, columns = np.nonzero(inputs.planes[-1] > 0)
        if rows.size:
            some = rng.integers(rows.size, size=min(_SAMPLED, rows.size))
            yield inputs.planes[:, rows[some], columns[some]].astype(np.float64)


def _floored(values: F64) -> F32:
    made = np.maximum(values, 1e-3)
    made[PLANES.index(VALID)] = 1.0
    return made.astype(np.float32)
