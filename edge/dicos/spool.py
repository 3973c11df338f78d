"""Writes the DICOS files of an archived bag into a folder: whole and checked, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from pydicom.dataset import FileDataset

from edge.archive.reader import BagFile, BagFileError
from edge.dicos.common import DicosError
from edge.dicos.image import image
from edge.dicos.report import report
from edge.dicos.validate import problems
from firmware_bridge.scanner import BINS

SUFFIX = ".dcs"
_PART = ".part"


def export(bag_file: Path, folder: Path) -> list[Path]:
    """Write what ``folder`` does not have yet: an image per bin, a report per verdict. Returns the new files.

    Raises :class:`DicosError` when the bag cannot be read, one of its files would be wrong, or the disk refuses.
    """
    try:
        with BagFile(bag_file) as file:
            folder.mkdir(parents=True, exist_ok=True)
            names = _missing(file, _names(file), folder)
            return [_write(file, name, folder / f"{file.bag_id}-{name}{SUFFIX}") for name in names]
    except (BagFileError, OSError) as error:
        raise DicosError(f"{bag_file}: no DICOS files written ({error})") from error


def _names(file: BagFile) -> list[str]:
    images = list(BINS) if file.has_images and file.geometry is not None and file.geometry.columns else []
    reports = [] if file.verdict is None else ["report"]
    return images + reports + [f"report-{verdict.seq}" for verdict in file.supplements]


def _missing(file: BagFile, names: list[str], folder: Path) -> list[str]:
    # A file that was sent lies in a folder below.
    have = {path.name for path in folder.rglob(f"{file.bag_id}-*{SUFFIX}")}
    return [name for name in names if f"{file.bag_id}-{name}{SUFFIX}" not in have]


def _made(file: BagFile, name: str) -> FileDataset:
    if name in BINS:
        return image(file, BINS.index(name))
    if name == "report":
        assert file.verdict is not None
        return report(file, file.verdict, 1)
    numbers = [f"report-{verdict.seq}" for verdict in file.supplements]
    index = numbers.index(name)
    return report(file, file.supplements[index], index + 2)


def _write(file: BagFile, name: str, path: Path) -> Path:
    made = _made(file, name)
    wrong = problems(made)
    if wrong:
        raise DicosError(f"{path}: would be wrong and is not written: {'; '.join(wrong)}")
    part = path.with_suffix(_PART)
    try:
        with part.open("wb") as handle:
            made.save_as(handle, enforce_file_format=True)
            handle.flush()
            os.fsync(handle.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return path
