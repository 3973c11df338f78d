"""Makes a data set: every scan by itself, on many processes, and again only what an earlier run has not finished."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from training.dataset.manifest import (
    MANIFEST,
    DatasetError,
    Manifest,
    Recipe,
    content_hash,
    read_manifest,
    write_manifest,
)
from training.dataset.recipes import splits
from training.dataset.scan_file import made, write
from training.dataset.simulation import entry_of, pixel_um, simulate

RECIPE: Final = "recipe.json"
_PACKAGES = ("darklane", "numpy", "scipy", "h5py")
#: Told after every scan: how many are done, of how many.
Progress = Callable[[int, int], None]
#: Content hash and truth of a scan.
Made = tuple[str, dict[str, Any]]


def make(
    recipe: Recipe,
    folder: Path,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    command: str = "",
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Make the data set in ``folder``, or finish it there. The content depends on ``recipe`` alone.

    ``workers`` processes of this machine, or those of the Dask ``scheduler`` (tcp://host:port), which must see
    ``folder`` under the same name. DatasetError when ``folder`` holds another data set.
    """
    folder = folder.resolve()
    _claim(recipe, folder)
    found: dict[int, tuple[str, dict[str, Any]]] = {}
    key = recipe.scan_sha256()
    for k in range(recipe.scans):
        earlier = made(folder / file_name(recipe, k), key)
        if earlier is not None:
            found[k] = earlier
    progress(len(found), recipe.scans)
    missing = [k for k in range(recipe.scans) if k not in found]
    with _executor(workers, scheduler) as executor:
        for k, result in _results(executor, recipe, folder, missing):
            found[k] = result
            progress(len(found), recipe.scans)
    entries = [entry_of(found[k][1], file_name(recipe, k), found[k][0]) for k in range(recipe.scans)]
    manifest = Manifest(
        recipe=recipe,
        pixel_um=pixel_um(recipe),
        sha256=content_hash(recipe, entries),
        splits=splits(recipe, entries),
        scans=tuple(entries),
        software=_software(),
        command=command,
    )
    write_manifest(folder, manifest)
    return manifest


def file_name(recipe: Recipe, k: int) -> str:
    """Name of the file of scan ``k``."""
    return f"{recipe.kind}-{recipe.seed + k}.h5"


def make_one(recipe_json: str, folder: str, k: int) -> Made:
    """Simulate and write scan ``k``; returns its content hash and truth. Runs in a worker."""
    recipe = Recipe.model_validate_json(recipe_json)
    scan = simulate(recipe, k)
    return write(Path(folder) / file_name(recipe, k), scan, recipe.scan_sha256()), scan.truth


def make_some(recipe_json: str, folder: str, numbers: list[int]) -> list[Made]:
    """:func:`make_one` of several."""
    return [make_one(recipe_json, folder, k) for k in numbers]


def _results(executor: Executor | None, recipe: Recipe, folder: Path, missing: list[int]) -> Iterator[tuple[int, Made]]:
    text = recipe.model_dump_json()
    if executor is None:
        for k in missing:
            yield k, make_one(text, str(folder), k)
        return
    running: dict[Future[list[Made]], list[int]] = {
        executor.submit(make_some, text, str(folder), some): some for some in _by_scanner(recipe, missing)
    }
    for done in as_completed(running):
        yield from zip(running[done], done.result(), strict=True)


def _by_scanner(recipe: Recipe, numbers: list[int]) -> list[list[int]]:
    """Scans of one emulated scanner together, so that one process calibrates it once; else each by itself."""
    if recipe.per_scanner is None:
        return [[k] for k in numbers]
    return [list(some) for _, some in groupby(numbers, lambda k: k // (recipe.per_scanner or 1))]


@contextmanager
def _executor(workers: int, scheduler: str | None) -> Iterator[Executor | None]:
    """Where scans are made; None: here. What has not begun is dropped when something fails."""
    if scheduler is not None:
        with _dask(scheduler) as client:
            yield client.get_executor(pure=False)
        return
    if workers == 1:
        yield None
        return
    # Processes start afresh: forking a process that has threads can hang.
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _dask(scheduler: str) -> Any:
    try:
        from distributed import Client  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise DatasetError(f"scheduler {scheduler}: needs Dask; install darklane[fleet]") from error
    try:
        return Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise DatasetError(f"scheduler {scheduler}: no Dask scheduler answers there ({error})") from error


def _claim(recipe: Recipe, folder: Path) -> None:
    """Write the recipe into an empty folder, or check that what is there was begun with it (however many scans)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / RECIPE
    if path.is_file():
        begun = Recipe.model_validate_json(path.read_bytes())
    elif (folder / MANIFEST).is_file():
        begun = read_manifest(folder).recipe
    else:
        begun = recipe
    if begun.scan_sha256() == recipe.scan_sha256():
        path.write_text(recipe.model_dump_json(indent=1) + "\n", encoding="utf-8")
    else:
        ours, theirs = recipe.model_dump(exclude={"scans"}), begun.model_dump()
        names = [f"{name} {theirs[name]} (now {ours[name]})" for name in ours if ours[name] != theirs[name]]
        raise DatasetError(f"{folder}: holds another data set: {', '.join(names)}; give another folder or remove it")


def _software() -> dict[str, str]:
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
