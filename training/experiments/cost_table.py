"""The table of what the networks cost, in the page of the results beside what the studies say of their accuracy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from training.experiments.plan import OURS, SCRATCH, TRUNKS
from training.fit_network.presets import PRESETS, GrainPreset

BEGIN: Final = "<!-- made by training.experiments.cost -->"
END: Final = "<!-- end -->"
TITLES: Final = {"study1": "Study 1", "study2": "Study 2", "lane": "A bag of the lane"}
_FIG3, _TABLE1 = ("study1.json", "fig3"), ("study2.json", "table1")


class Judged(NamedTuple):
    """Where an accuracy is read: report, experiment and label there; ``words``: what was done to the network."""

    report: str
    experiment: str
    label: str
    words: str


#: Judgements of our network in the studies, by the preset that says its width.
_OURS: Final = {
    "study1": {
        "study1": Judged(*_FIG3, SCRATCH, "not pretrained"),
        "study1-small-pretrained": Judged("pretrainings.json", "dark_field", OURS, "small, 600 other scans"),
        "study1-pretrained": Judged(*_FIG3, OURS, "pretrained"),
    },
    "study2": {
        "study2": Judged(*_TABLE1, f"{SCRATCH}, with dark-field", "not pretrained"),
        "study2-pretrained": Judged(*_TABLE1, f"{OURS}, with dark-field", "pretrained"),
    },
}


def table(figures: dict[str, Any], folder: Path) -> str:
    """Markdown. ``folder``: of the reports of the studies."""
    machine, software = figures["machine"], figures["software"]
    made = [
        f"{machine['processor']}, one core, torch {software['torch']} and ONNX Runtime {software['onnxruntime']}; time "
        f"by the processor's clock, medians of {figures['rounds']} rounds, all networks of a table in turn.",
    ]
    for key, title in TITLES.items():
        made += ["", *_lines(key, title, figures[key], folder)]
    return "\n".join(made)


def _lines(key: str, title: str, case: dict[str, Any], folder: Path) -> list[str]:
    networks = case["networks"]
    mine = {n["width"]: n for n in networks if n["trunk"] is None and n["multiply_accumulates"]}
    head = ["", "input", "10⁹ multiply-accumulates", "ms"]
    compared = key in _OURS
    if compared:
        told = ", ".join(map(str, mine))
        head = [*head[:3], f"ours at width {told}, of it", "ms", "ours of it", "accuracy"]
    rows, columns = case["pixels"]
    lines = [f"**{title}**, {rows} × {columns} pixels:", "", _row(head), "|" + "---|" * len(head)]
    for network in networks:
        count, theirs = network["multiply_accumulates"], network["trunk"] is not None
        name = TRUNKS[network["trunk"]] if theirs else network["network"]
        cells = [name, " × ".join(map(str, network["input"])), f"{count / 1e9:.2f}" if count else ""]
        time = f"{1e3 * network['processor_seconds']:.0f}"
        if compared:
            shares = [
                ", ".join(_percent(one[what] / network[what]) for one in mine.values()) if theirs else ""
                for what in ("multiply_accumulates", "processor_seconds")
            ]
            cells += [shares[0], time, shares[1], _accuracies(key, network, folder)]
        else:
            cells.append(time)
        lines.append(_row(cells))
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _accuracies(key: str, network: dict[str, Any], folder: Path) -> str:
    """What the studies' reports say of a network, of every training of it; '' of a width that no study judges."""
    trunk = network["trunk"]
    if trunk is None:
        wanted = [judged for name, judged in _OURS[key].items() if _width(name) == network["width"]]
        if not network["multiply_accumulates"] or not wanted:
            return ""
    elif key == "study1":
        name = f"{TRUNKS[trunk]}, 1 FC, hinge"
        wanted = [
            Judged(*_FIG3, name, "trunk frozen"),
            Judged(*_FIG3, f"{name}, trunk trained too", "all of it trained"),
        ]
    else:
        wanted = [Judged(*_TABLE1, f"{TRUNKS[trunk]}, split network, with dark-field", "trunk frozen")]
    told = [(_accuracy(folder, judged), judged.words) for judged in wanted]
    return "; ".join(f"{_percent(value)} ({words})" for value, words in told if value is not None) or "not run"


def _width(preset: str) -> int:
    made = PRESETS[preset]
    assert isinstance(made, GrainPreset)
    return made.width


def _accuracy(folder: Path, judged: Judged) -> float | None:
    report = json.loads((folder / judged.report).read_text(encoding="utf-8"))
    for row in report["experiments"].get(judged.experiment, {"rows": []})["rows"]:
        if row["label"] == judged.label and row["summary"] is not None:
            return float(row["summary"]["accuracy"])
    return None


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def with_table(text: str, made: str, page: Path) -> str:
    """``text`` of ``page`` with ``made`` between the marks; ValueError where they are missing."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"{page}: has no lines {BEGIN!r} and {END!r}; write them where the table belongs")
    return f"{text[: text.index(BEGIN)]}{BEGIN}\n{made}\n{text[text.index(END) :]}"


def write_page(page: Path, figures: Path) -> None:
    """Put the table of the file ``figures`` into ``page``, which lies beside the reports."""
    made = table(json.loads(figures.read_text(encoding="utf-8")), page.parent)
    page.write_text(with_table(page.read_text(encoding="utf-8"), made, page), encoding="utf-8")
