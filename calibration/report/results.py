"""Plots of what the calibrated lane makes of known samples: linearity, ratio space, verification, history."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from calibration.folder import Entry
from calibration.linearity import SIGNALS, Linearisation, bend, linearise
from calibration.report.plots import COLOURS, Arrays, grid
from firmware_bridge.scanner import BINS

_UNITS = ("−ln t", "τ², µm²", "−ln o")


def wedges(arrays: Arrays) -> list[str]:
    """Names of the wedges in the arrays of step ``linearity``."""
    return sorted(key.removesuffix("_signals") for key in arrays if key.endswith("_signals"))


def linearity(arrays: Arrays) -> Figure:
    """Signals of the step wedges against thickness, measured and linearised, with the residual non-linearity."""
    correction = Linearisation(arrays["coefficients"], arrays["limit"]) if "coefficients" in arrays else None
    figure, axes = grid(len(SIGNALS))
    for s, panel in enumerate(axes[0]):
        texts = []
        for k, name in enumerate(wedges(arrays)):
            z, signals, sd = arrays[f"{name}_thickness_mm"], arrays[f"{name}_signals"], arrays[f"{name}_sd"]
            straight = signals if correction is None else linearise(correction, signals)
            panel.plot(z, signals[s, 0], "o", color=f"C{k}", markersize=3, label=name)
            panel.plot(z, straight[s, 0], "-", color=f"C{k}", linewidth=0.9)
            texts.append(
                f"{100 * bend(z, signals[s, 0], sd[s, 0]):.1f} → {100 * bend(z, straight[s, 0], sd[s, 0]):.1f} %"
            )
        panel.set(xlabel="thickness, mm", ylabel=_UNITS[s], title=f"{SIGNALS[s].replace('_', ' ')}: {', '.join(texts)}")
        panel.title.set_fontsize(8)
    axes[0, 0].legend(fontsize=7)
    return figure


def ratio_space(arrays: Arrays) -> Figure:
    """Reference samples in the ratios of both bins: dark-field against attenuation, offset against attenuation."""
    names, signals = [str(n) for n in arrays["names"]], arrays["signals"]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = signals[:, 0] / signals[:, 1]
    figure, axes = grid(2)
    for panel, s, label in ((axes[0, 0], 1, "R_df"), (axes[0, 1], 2, "R_of")):
        for name in dict.fromkeys(names):
            mine = [k for k, other in enumerate(names) if other == name]
            panel.plot(ratio[0, mine], ratio[s, mine], "o", markersize=4, label=name)
        panel.set(xlabel="R_ab", ylabel=label)
        panel.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=6, ncols=2)
    return figure


def verification(arrays: Arrays) -> Figure:
    """Found minus true over its limit for every sample of the verification phantom; inside ±1 is a pass."""
    figure, axes = grid(2, 2, height=2.8)
    order = np.arange(len(arrays["materials"]))
    labels = [f"{m} {z:g}" for m, z in zip(arrays["materials"], arrays["thickness_mm"], strict=True)]
    for row, quantity in enumerate(("t", "dark_field")):
        for column, model in enumerate(("map", "paper")):
            panel = axes[row, column]
            for b, name in enumerate(BINS):
                excess = (arrays[f"{quantity}_{model}"][b] - arrays[f"{quantity}_true"][b]) / arrays[
                    f"{quantity}_limit"
                ][b]
                panel.plot(order, excess, "o", color=COLOURS[b], markersize=4, label=f"{name} bin")
            panel.axhspan(-1, 1, color="#1b7837", alpha=0.12)
            panel.set(ylabel="(found − true) / limit", title=f"{quantity.replace('_', '-')}, model {model}")
            panel.set_xticks(order, labels, rotation=90, fontsize=6)
    axes[0, 0].legend(fontsize=7)
    return figure


def stepped(arrays: Arrays) -> Figure:
    """Plates at rest under a stepped mask against the moving scan: transmission, and dark-field, which is none."""
    figure, axes = grid(2)
    order = np.arange(len(arrays["plates"]))
    for b, name in enumerate(BINS):
        t, moving, sd = arrays["t"][b], arrays["t_moving"][b], arrays["t_sd"][b]
        axes[0, 0].errorbar(order, 100 * (t / moving - 1), 100 * sd / moving, fmt="o", color=COLOURS[b], markersize=4)
        dark = arrays["dark_field"][b], arrays["dark_field_sd"][b]
        axes[0, 1].errorbar(order, *dark, fmt="o", color=COLOURS[b], markersize=4, label=f"{name} bin")
    for panel, label in ((axes[0, 0], "t at rest over moving − 1, %"), (axes[0, 1], "τ² at rest, µm²")):
        panel.axhline(0, color="#999999", linewidth=0.5)
        panel.set_xticks(order, [str(n) for n in arrays["names"]], rotation=90, fontsize=6)
        panel.set(ylabel=label)
    axes[0, 1].legend(fontsize=7)
    return figure


def history(entries: list[Entry]) -> Figure | None:
    """Curve centres and flat of every usable calibration of the folder, against the first; None with fewer than two."""
    bundles: list[Any] = [entry.bundle for entry in entries if entry.bundle is not None]
    bundles = [b for b in bundles if b.flat.shape == bundles[0].flat.shape]
    if len(bundles) < 2:
        return None
    hours = [(b.created_ns - bundles[0].created_ns) / 3.6e12 for b in bundles]
    figure, axes = grid(2, height=2.6)
    centres = [float(np.median(b.curves.centre - bundles[0].curves.centre)) for b in bundles]
    axes[0, 0].plot(hours, centres, "o-", color="#333333", markersize=3)
    axes[0, 0].set(xlabel="hours since the first", ylabel="median curve centre, µm", title="mask drift")
    for k, name in enumerate(BINS):
        level = [float(np.median(b.flat[k]) / np.median(bundles[0].flat[k])) for b in bundles]
        axes[0, 1].plot(hours, level, "o-", color=COLOURS[k], markersize=3, label=f"{name} bin")
    axes[0, 1].set(xlabel="hours since the first", ylabel="flat over the first", title="tube output")
    axes[0, 1].legend(fontsize=7)
    return figure
