"""A data set made by the workers of a Dask scheduler, on a stand-in for Dask's client."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType, TracebackType

import pytest

from training import dataset
from training.dataset import make as making
from training.dataset.manifest import DatasetError
from training.dataset.recipes import recipe


class Client:
    """Stands in for ``distributed.Client``, with what is used of it; the address of nobody is port 1."""

    log: list[str]

    def __init__(self, address: str, timeout: float) -> None:
        if address.endswith(":1"):
            raise OSError(f"Timed out trying to connect to {address} after {timeout} s")
        self.log.append(f"connect {address}")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.log.append("close")

    def get_executor(self, *, pure: bool) -> ProcessPoolExecutor:
        """Interpreters of their own, which know nothing but what they are sent."""
        self.log.append(f"pure={pure}")
        return ProcessPoolExecutor(2, get_context("spawn"))


def test_a_dask_scheduler_makes_the_same_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stand-in; docs/reference/datasets.md says what was run against Dask itself."""
    small = recipe("study1", scans=4, scanner={"native_rows": 256}, map_only=True)
    one = making.make(small, tmp_path / "one")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DatasetError, match=r"needs Dask; install darklane\[fleet\]"):
        making.make(small, tmp_path / "two", scheduler="tcp://fleet:8786")
    module, Client.log = ModuleType("distributed"), []
    module.Client = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "distributed", module)
    with pytest.raises(DatasetError, match="no Dask scheduler answers there"):
        making.make(small, tmp_path / "two", scheduler="tcp://fleet:1")
    told: list[tuple[int, int]] = []
    two = making.make(
        small, tmp_path / "two", scheduler="tcp://fleet:8786", progress=lambda done, total: told.append((done, total))
    )
    # Not pure: a result that a scheduler remembers is no file in this folder.
    assert Client.log == ["connect tcp://fleet:8786", "pure=False", "close"]
    assert told == [(k, 4) for k in range(5)]
    assert (two.sha256, two.scans) == (one.sha256, one.scans)
    dataset.open(tmp_path / "two").verify()
    for name in (two.scans[1].file, "manifest.json"):
        (tmp_path / "two" / name).unlink()
    (tmp_path / "two" / two.scans[1].file).with_suffix(".part").mkdir()
    with pytest.raises(IsADirectoryError):  # what a worker fails of is told here
        making.make(small, tmp_path / "two", scheduler="tcp://fleet:8786")
    assert Client.log[-1] == "close"
