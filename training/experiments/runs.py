"""Experiments, their bars, and the runs of each bar.

A run that several experiments show (our network on all planes) is made once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.dataset.scan_file import RetrievalName

#: Data sets of a study: its own; one of the same kind from other scene seeds; its own with labels dealt at random.
DataName = Literal["own", "second", "shuffled"]


@dataclass(frozen=True)
class Run:
    """One training and test. ``timed``: nothing that earlier runs left behind is used, so that its time is honest.

    ``start``: subfolder of the weights that a pretrained preset goes on from.
    """

    preset: str
    channels: str = "all"
    retrieval: RetrievalName = "map"
    part: str = "split-0"
    timed: bool = False
    data: DataName = "own"
    start: str = ""

    @property
    def name(self) -> str:
        """Also the name of its file."""
        set_ = "" if self.data == "own" else f".{self.data}"
        start = f".{self.start}" if self.start else ""
        return f"{self.preset}.{self.channels}.{self.retrieval}.{self.part}{set_}{start}"


@dataclass(frozen=True)
class Bar:
    """What is compared: ``label`` and the runs that it is the mean of."""

    label: str
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Experiment:
    """One figure or table. ``shows``: `bars` of accuracy, or a `roc` of the pooled scores beside its table."""

    name: str
    title: str
    note: str
    bars: tuple[Bar, ...]
    shows: Literal["bars", "roc"] = "bars"


def over_splits(
    splits: int, preset: str, channels: str = "all", retrieval: RetrievalName = "map", start: str = ""
) -> tuple[Run, ...]:
    """Runs on the first ``splits`` random splits."""
    return tuple(Run(preset, channels, retrieval, f"split-{k}", start=start) for k in range(splits))
