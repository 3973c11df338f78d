"""The report of a study: one HTML page that needs nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from training.dataset import Scans
from training.experiments import plots
from training.experiments.plan import OURS
from training.experiments.results import Row, hidden_targets, missed, rows
from training.experiments.runner import Finished
from training.experiments.runs import Experiment

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:62em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:.6em 0;font-size:14px}td,th{padding:.15em .7em;text-align:right}
td:first-child,th:first-child{text-align:left}tr{border-bottom:1px solid #ddd}th{border-bottom:1px solid #888}
.note{color:#555}.off{color:#999}img{max-width:100%}code{background:#f4f4f4}
.said{background:#fff4d6;padding:.5em .8em;border-left:4px solid #d9a400}
"""
_SAID = (
    "Everything on this page is simulated: scenes, spectra, masks and photon noise. Nothing was measured. The networks "
    "are trained and tested on simulated scans only, so these figures compare methods under this model; they do not "
    "predict what a scanner would reach."
)
_HEAD = ("", "accuracy", "95 %", "TP", "TN", "FP", "FN", "recall", "precision", "FPR", "AUC", "first − this")
#: Wrong answers listed at most.
_MOST = 30


def page(
    title: str, experiments: Sequence[Experiment], runs: Mapping[str, Finished], scans: Scans, about: dict[str, Any],
    coverage: Mapping[str, list[dict[str, Any]]],
) -> str:  # fmt: skip
    """The page. ``about``: what else a reader needs to repeat it, by name; ``coverage``: answers by coverage."""
    parts = [f"<h1>{escape(title)}</h1>", f'<p class="said">{escape(_SAID)}</p>', _about(about)]
    for experiment in experiments:
        parts.append(_experiment(experiment, rows(experiment, runs)))
    parts += [_covered(coverage), _hidden(scans), _wrong(experiments, runs, scans), _weights(runs)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _about(about: dict[str, Any]) -> str:
    lines = "".join(
        f"<tr><td>{escape(name.replace('_', ' '))}</td><td><code>{escape(str(value))}</code></td></tr>"
        for name, value in about.items()
    )
    return f"<table>{lines}</table>"


def _experiment(experiment: Experiment, made: list[Row]) -> str:
    text = [f"<h2>{escape(experiment.title)}</h2>"]
    if experiment.note:
        text.append(f'<p class="note">{escape(experiment.note)}</p>')
    timed = any(run.timed for row in made for run in row.bar.runs)
    head = (*_HEAD, "time, s") if timed else _HEAD
    text.append("<table><tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>")
    text += [_row(row, timed=timed) for row in made]
    text.append("</table>")
    if any(row.summary is not None for row in made):
        drawn = plots.curves(made) if experiment.shows == "roc" else plots.bars(made)
        text.append(f'<p><img alt="{escape(experiment.title)}" src="{drawn}"></p>')
    return "".join(text)


def _row(row: Row, *, timed: bool) -> str:
    summary, label = row.summary, escape(row.bar.label)
    if summary is None:
        return f'<tr class="off"><td>{label}</td><td colspan="{len(_HEAD) - 1 + timed}">not run</td></tr>'
    if row.state:
        label += f' <span class="note">({escape(row.state)})</span>'
    cells = [
        _percent(summary.accuracy), f"{_percent(summary.low)} – {_percent(summary.high)}",
        *(str(n) for n in (summary.true_positives, summary.true_negatives)),
        *(str(n) for n in (summary.false_positives, summary.false_negatives)),
        _percent(summary.recall), _percent(summary.precision), _percent(summary.false_positive_rate),
        f"{summary.auc:.3f}", _lost(row),
    ]  # fmt: skip
    cells += [f"{summary.seconds:.1f}"] if timed else []
    return f"<tr><td>{label}</td>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _lost(row: Row) -> str:
    if row.lost is None:
        return ""
    mean, low, high = (100 * value for value in row.lost)
    return f"{mean:+.1f}" if math.isnan(low) else f"{mean:+.1f} ({low:+.1f} … {high:+.1f})"


def _percent(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f} %"


def _hidden(scans: Scans) -> str:
    hidden = hidden_targets(scans)
    targets = sum(entry.label for entry in scans.entries)
    text = (
        "<h2>Targets that physics hides</h2><p>Targets whose dark-field, summed over all their pixels, stays below "
        f"5 σ of the photon noise in both bins (Rose's criterion, from the truth): {len(hidden)} of {targets}. "
        "They are in every count above.</p>"
    )
    return text + _table(hidden)


def _covered(tables: Mapping[str, list[dict[str, Any]]]) -> str:
    if not tables:
        return ""
    text = [
        "<h2>By how much of the sample is covered</h2><p>Part of the sample that other things than its container and "
        "the bag's cloth lie over, from the scene.</p>"
    ]
    text += [f"<h3>{escape(label)}</h3>{_table(lines)}" for label, lines in tables.items()]
    return "".join(text)


def _wrong(experiments: Sequence[Experiment], runs: Mapping[str, Finished], scans: Scans) -> str:
    bar = next((bar for experiment in experiments for bar in experiment.bars if bar.label.startswith(OURS)), None)
    done = [] if bar is None else [runs[run.name] for run in bar.runs if run.name in runs]
    if not done:
        return ""
    wrong = missed(done, scans)
    more = f" The {_MOST} most frequent:" if len(wrong) > _MOST else ""
    return f"<h2>What our network got wrong</h2><p>{len(wrong)} scans at a threshold of 0.5.{more}</p>" + _table(
        wrong[:_MOST]
    )


def _weights(runs: Mapping[str, Finished]) -> str:
    used: dict[str, set[str]] = {}
    for one in runs.values():
        used.setdefault(one.record["settings"], set()).add(one.record["weights"])
    lines = [
        {"settings": settings, "started from": "; ".join(sorted(weights))} for settings, weights in sorted(used.items())
    ]
    return "<h2>Settings and weights</h2>" + _table(lines)


def _table(lines: Sequence[dict[str, Any]]) -> str:
    if not lines:
        return ""
    head = "".join(f"<th>{escape(str(name))}</th>" for name in lines[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in line.values()) + "</tr>" for line in lines
    )
    return f"<table><tr>{head}</tr>{body}</table>"
