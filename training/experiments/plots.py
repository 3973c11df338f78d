"""Plots of an experiment as pictures for one self-contained page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from training.experiments.plan import OURS
from training.experiments.results import Row
from training.experiments.statistics import roc
from training.figures.plotting import HIGH, LOW, close, figure


def bars(rows: Sequence[Row]) -> str:
    """Accuracy of every bar that was run, with its 95 % interval, as a data URL."""
    shown = [row for row in rows if row.summary is not None]
    drawn, axes = figure(1, 1, width=8.0, height=0.6 + 0.32 * len(shown))
    for place, row in enumerate(shown):
        summary = row.summary
        assert summary is not None
        colour = LOW if row.bar.label.startswith(OURS) else HIGH
        error = [[summary.accuracy - summary.low], [summary.high - summary.accuracy]]
        axes.barh(place, summary.accuracy, color=colour, alpha=0.75)
        axes.errorbar(summary.accuracy, place, xerr=np.clip(error, 0, None), color="black", capsize=3, linewidth=1)
    lowest = min((row.summary.low for row in shown if row.summary), default=0.0)
    axes.set(yticks=range(len(shown)), xlim=(max(0.0, min(0.5, lowest - 0.05)), 1.005), xlabel="accuracy")
    axes.set_yticklabels([row.bar.label for row in shown], fontsize=8)
    axes.axvline(0.5, color="grey", linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    return _url(drawn)


def curves(rows: Sequence[Row]) -> str:
    """Receiver operating curves of the bars that were run, as a data URL."""
    drawn, axes = figure(1, 1, width=6.0, height=4.6)
    for row in rows:
        if row.summary is not None:
            scores = np.concatenate([one.tested.scores for one in row.done])
            threat = np.concatenate([one.tested.labels for one in row.done]) == 1
            axes.step(*roc(scores, threat), where="post", label=f"{row.bar.label}: AUC {row.summary.auc:.3f}")
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    axes.set(xlabel="false positive rate", ylabel="true positive rate", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    axes.legend(fontsize=8, loc="lower right")
    return _url(drawn)


def _url(drawn: Any) -> str:
    held = io.BytesIO()
    drawn.savefig(held, format="png", dpi=80)
    close(drawn)
    return "data:image/png;base64," + base64.b64encode(held.getvalue()).decode("ascii")
