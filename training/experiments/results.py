"""From finished runs to the rows of every table: what was run, what came out, and what was not run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from training.dataset import Scans
from training.experiments.runner import Finished
from training.experiments.runs import Bar, Experiment
from training.experiments.statistics import Summary, difference, summarise


@dataclass(frozen=True)
class Row:
    """One bar: its summary, None when none of its runs was made; ``lost``: how it compares with the first bar."""

    bar: Bar
    done: tuple[Finished, ...]
    summary: Summary | None
    lost: tuple[float, float, float] | None

    @property
    def state(self) -> str:
        """What a reader must know of it: how much was run, and whether all of it with the same settings."""
        if not self.done:
            return "not run"
        told = [] if len(self.done) == len(self.bar.runs) else [f"{len(self.done)} of {len(self.bar.runs)} runs"]
        if len({one.record["settings"] for one in self.done}) > 1:
            told.append("settings differ between runs")
        return ", ".join(told)


def rows(experiment: Experiment, runs: Mapping[str, Finished]) -> list[Row]:
    """Rows of an experiment, in its order."""
    made: list[Row] = []
    for bar in experiment.bars:
        done = tuple(runs[run.name] for run in bar.runs if run.name in runs)
        summary = summarise([one.tested for one in done]) if done else None
        made.append(Row(bar, done, summary, _against(made[0], done) if made and done else None))
    return made


def _against(first: Row, done: Sequence[Finished]) -> tuple[float, float, float] | None:
    """First bar minus this one, over the parts that both were run on; None where there is none.

    Runs of one preset are only compared when its settings were the same: presets change as they are worked on.
    """
    theirs = {one.run.part: one for one in first.done}
    pairs = [(theirs[one.run.part], one) for one in done if one.run.part in theirs]
    pairs = [(a, b) for a, b in pairs if a.run.preset != b.run.preset or a.record["settings"] == b.record["settings"]]
    if not pairs:
        return None
    return difference([a.tested for a, _ in pairs], [b.tested for _, b in pairs])


def hidden_targets(scans: Scans) -> list[dict[str, Any]]:
    """Targets whose dark-field the noise hides; they stay in every count."""
    return [
        {"file": e.file, "item": e.item, "material": e.material, "thickness_mm": e.thickness_mm}
        for e in scans.entries
        if e.hidden
    ]


def missed(done: Sequence[Finished], scans: Scans) -> list[dict[str, Any]]:
    """Scans that were answered wrongly at 0.5, with how often of how many tests, most often first."""
    tests: dict[int, list[bool]] = {}
    for one in done:
        right = (one.tested.scores >= 0.5) == (one.tested.labels == 1)
        for index, good in zip(one.tested.indices, right.tolist(), strict=True):
            tests.setdefault(index, []).append(good)
    entries = scans.manifest.scans
    wrong = [
        {
            **entries[k].model_dump(include={"file", "label", "item", "material", "thickness_mm", "hidden"}),
            "wrong": answers.count(False), "tests": len(answers),
        }
        for k, answers in tests.items() if not all(answers)
    ]  # fmt: skip
    return sorted(wrong, key=lambda one: (-int(str(one["wrong"])), str(one["file"])))


def as_json(
    experiments: Sequence[Experiment], runs: Mapping[str, Finished], scans: Scans, about: dict[str, Any]
) -> dict[str, Any]:
    """Everything of a report as plain data; NaN becomes null."""
    tables = {
        experiment.name: {
            "title": experiment.title,
            "rows": [
                {
                    "label": row.bar.label,
                    "state": row.state or "run",
                    "summary": None if row.summary is None else _plain(asdict(row.summary)),
                    "first_minus_this": None if row.lost is None else [_plain(value) for value in row.lost],
                    "runs": [run.name for run in row.bar.runs],
                }
                for row in rows(experiment, runs)
            ],
        }
        for experiment in experiments
    }
    return {
        "simulated": True,
        **about,
        "hidden_targets": hidden_targets(scans),
        "experiments": tables,
        "runs": [one.record for one in runs.values()],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return round(value, 5) if np.isfinite(value) else None
    return value
