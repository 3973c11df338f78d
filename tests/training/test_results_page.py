"""Figures of docs/results/README.md that say how many of how many are those of the reports beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "results"
#: Accuracy in %, targets found of how many, false alarms of how many.
ROW = re.compile(r"\| (\d+(?:\.\d)?) %.*?\| (\d+) of (\d+) \| (\d+) of (\d+) \|")
#: A row that says so was run without a report.
APART = "not in the report"


def reported(name: str) -> set[tuple[float, int, int, int, int, str]]:
    """All summaries of a report, as the page writes them."""
    report: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    rows = [row["summary"] for one in report["experiments"].values() for row in one["rows"] if row["summary"]]
    return {
        (
            round(100 * row["accuracy"], 1),
            row["true_positives"],
            row["true_positives"] + row["false_negatives"],
            row["false_positives"],
            row["false_positives"] + row["true_negatives"],
            f"{row['auc']:.3f}",
        )
        for row in rows
    }


@pytest.mark.parametrize(("name", "title", "least"), [("study1", "## Study 1", 20), ("study2", "## Study 2", 10)])
def test_every_row_is_in_the_report(name: str, title: str, least: int) -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    section = page.partition(title)[2].partition("\n## ")[0]
    known, told = reported(name), 0
    for line in section.splitlines():
        if (found := ROW.search(line)) is None or APART in line:
            continue
        told += 1
        accuracy, *counts = found.groups()
        area = re.search(r"\| ([01]\.\d{3}) \|", line)
        row = (float(accuracy), *map(int, counts), area.group(1) if area else "")
        assert row in known, f"{line}\nno run of {name}.json gives {row}; run it again, or say '{APART}' in its row"
    assert told >= least
