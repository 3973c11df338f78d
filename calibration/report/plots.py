"""The plots of the report: each takes the arrays of one step and returns a matplotlib figure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure

from firmware_bridge.scanner import BINS, GROUPS
from kernels import predict_offset
from kernels.types import OffsetPrior

Arrays = Mapping[str, npt.NDArray[Any]]

COLOURS = ("#c0392b", "#2456a6")
KINDS = ("good", "dead", "hot", "noisy")
_KIND_COLOURS = ("#e8e8e8", "#111111", "#d62728", "#ff9f1c")
#: Rows whose curves are drawn, as fractions of the field.
ROWS_SHOWN = (0.05, 0.35, 0.65, 0.95)


def grid(columns: int, rows: int = 1, *, height: float = 3.4) -> tuple[Figure, Any]:
    """A figure with a grid of axes, (rows, columns)."""
    figure = Figure(figsize=(4.6 * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def pixels(arrays: Arrays) -> Figure:
    """Map of what each pixel is, and how many of each kind."""
    kinds = arrays["kinds"]
    figure, axes = grid(1, height=2.6)
    image = axes[0, 0].imshow(
        kinds.T,
        aspect="auto",
        interpolation="nearest",
        cmap=ListedColormap(_KIND_COLOURS),
        norm=BoundaryNorm(np.arange(len(KINDS) + 1) - 0.5, len(KINDS)),
    )
    bar = figure.colorbar(image, ax=axes[0, 0], ticks=range(len(KINDS)))
    bar.ax.set_yticklabels([f"{name} {int((kinds == k).sum())}" for k, name in enumerate(KINDS)])
    axes[0, 0].set(xlabel="row", ylabel="column", title="pixel map")
    return figure


def dark(arrays: Arrays) -> Figure:
    """Counts with the tube off: how many pixels count how often."""
    figure, axes = grid(1, height=2.4)
    counts = arrays["dark"].reshape(len(BINS), -1)
    edges = np.concatenate([[0.0], np.logspace(-2, max(0.0, float(np.log10(counts.max() + 1.0))), 40)])
    for b, name in enumerate(BINS):
        axes[0, 0].stairs(np.histogram(counts[b], edges)[0], edges, color=COLOURS[b], label=f"{name} bin")
    axes[0, 0].set(
        xscale="symlog", yscale="symlog", xlabel="counts per frame", ylabel="pixels", title="with the tube off"
    )
    axes[0, 0].legend(fontsize=8)
    return figure


def scan(arrays: Arrays) -> Figure:
    """Mean of every group over the fine scan, low bin, and the pixels that are not used."""
    figure, axes = grid(2, height=2.6)
    for g in range(GROUPS):
        axes[0, 0].plot(
            arrays["positions_um"], arrays["means"][:, g, 0].mean(axis=-1), color=f"C{g}", label=f"group {g}"
        )
    axes[0, 0].set(xlabel="mask position, µm", ylabel="counts", title="mean over the rows, low bin")
    axes[0, 0].legend(fontsize=7)
    axes[0, 1].imshow(arrays["good"][0].T, aspect="auto", interpolation="nearest", cmap="gray", vmin=0, vmax=1)
    axes[0, 1].set(xlabel="row", ylabel="column", title="pixels that are not used: black")
    return figure


def flat(arrays: Arrays) -> Figure:
    """The flat over the fitted curves, by row."""
    figure, axes = grid(len(BINS), height=2.4)
    for b, name in enumerate(BINS):
        for g in range(GROUPS):
            axes[0, b].plot(arrays["ratio"][g, b], color=f"C{g}", linewidth=0.8, label=f"group {g}")
        axes[0, b].set(xlabel="live row", ylabel="flat over the curves", title=f"{name} bin")
    axes[0, 0].legend(fontsize=7, ncols=2)
    return figure


def beam(arrays: Arrays) -> Figure:
    """Profile of the beam over the field, and counts against tube current."""
    figure, axes = grid(2)
    for b, name in enumerate(BINS):
        axes[0, 0].plot(np.nanmean(arrays["profile"][b], axis=1), color=COLOURS[b], label=f"{name} bin", linewidth=0.8)
    axes[0, 0].set(xlabel="row", ylabel="mean counts per frame", title="beam profile")
    axes[0, 0].legend(fontsize=8)
    if "current_ma" in arrays:
        current = arrays["current_ma"]
        for b, name in enumerate(BINS):
            counts = arrays["counts"][b]
            axes[0, 1].plot(current, counts, "o", color=COLOURS[b], label=f"{name} bin")
            slope = (current * counts).sum() / (current**2).sum()
            axes[0, 1].plot(current, slope * current, color=COLOURS[b], linewidth=0.8)
        axes[0, 1].set(xlabel="tube current, mA", ylabel="mean counts per frame", title="count-rate linearity")
        axes[0, 1].legend(fontsize=8)
    return figure


def alignment(arrays: Arrays) -> Figure:
    """Visibility over each axis that was moved, and the phase over the field before and after."""
    axes_moved = sorted(key.removesuffix("_positions") for key in arrays if key.endswith("_positions"))
    figure, axes = grid(len(axes_moved) + 1)
    for panel, name in zip(axes[0], axes_moved, strict=False):
        panel.plot(arrays[f"{name}_positions"], arrays[f"{name}_visibility"], "o-", color="#333333", markersize=3)
        panel.set(xlabel=f"{name}, µm or mrad", ylabel="visibility", title=name)
    for key, colour in (("phase_before", "#999999"), ("phase_after", "#1b7837")):
        if key in arrays:
            axes[0, -1].plot(arrays[key], color=colour, label=key.removeprefix("phase_"), linewidth=0.9)
            axes[0, -1].legend(fontsize=8)
    axes[0, -1].set(xlabel="row", ylabel="curve centre − nominal, µm", title="phase over the field")
    return figure


def curves(arrays: Arrays) -> Figure:
    """Illumination curves of some rows with fit and residual, and the visibility over the field."""
    positions, means = arrays["positions_um"], arrays["means"]
    rows = [int(f * (means.shape[-1] - 1)) for f in ROWS_SHOWN]
    figure, axes = grid(len(rows), 2, height=2.8)
    for panel, below, row in zip(axes[0], axes[1], rows, strict=True):
        for g in range(GROUPS):
            measured = means[:, g, 0, row]
            colour = f"C{g}"
            panel.plot(positions, measured, ".", color=colour, markersize=4)
            if "area" not in arrays:  # nothing was fitted
                continue
            fitted = _curve(arrays, positions, g, row)
            panel.plot(positions, fitted, color=colour, linewidth=0.9, label=f"group {g}")
            below.plot(
                positions, 100 * (measured - fitted) / means[:, :, 0, row].max(), ".-", color=colour, linewidth=0.6
            )
        panel.set(title=f"row {row}, low bin", xlabel="mask position, µm", ylabel="counts")
        below.set(xlabel="mask position, µm", ylabel="residual, % of peak")
        below.axhline(0, color="#999999", linewidth=0.5)
    if "area" in arrays:
        axes[0, 0].legend(fontsize=7)
    return figure


def _curve(arrays: Arrays, positions: npt.NDArray[Any], group: int, row: int) -> npt.NDArray[np.float64]:
    """Equation (1) of one group and row, low bin: its own Gaussian, its neighbours', the floor."""
    area, centre, width = (arrays[k][0, row].astype(np.float64) for k in ("area", "centre", "width"))
    period = 75.0 * GROUPS
    x = positions + 75.0 * group
    total = np.full(x.shape, float(arrays["floor"][0, row]))
    for i in (group - 1, group, group + 1):
        wrapped, image = i % GROUPS, (i - i % GROUPS) / GROUPS * period
        z = (x - centre[wrapped] - image) / width[wrapped]
        total += area[wrapped] / (np.sqrt(2 * np.pi) * width[wrapped]) * np.exp(-0.5 * z * z)
    return total


def visibility(arrays: Arrays) -> Figure:
    """Visibility of each group over the field, both bins."""
    if "visibility" not in arrays:
        seen = arrays["means"].max(axis=0), arrays["means"].min(axis=0)
        arrays = {"visibility": ((seen[0] - seen[1]) / np.maximum(seen[0] + seen[1], 1e-9)).transpose(1, 2, 0)}
    figure, axes = grid(len(BINS), height=2.4)
    for b, name in enumerate(BINS):
        for g in range(GROUPS):
            axes[0, b].plot(arrays["visibility"][b, :, g], color=f"C{g}", linewidth=0.8, label=f"group {g}")
        axes[0, b].set(xlabel="row", ylabel="visibility", title=f"{name} bin", ylim=(0, 1))
    axes[0, 0].legend(fontsize=7, ncols=2)
    return figure


def working_point(arrays: Arrays, chosen_um: float | None) -> Figure:
    """Cramér–Rao bound of the dark-field over the mask position, offset free and tied."""
    figure, axes = grid(1)
    for key, colour, label in (("sd_full", "#8c510a", "offset free"), ("sd_map", "#01665e", "offset tied")):
        axes[0, 0].semilogy(arrays["x0_um"], arrays[key][:, 2], "o-", color=colour, label=label, markersize=3)
    if chosen_um is not None:
        axes[0, 0].axvline(
            chosen_um, color="#333333", linestyle="--", linewidth=0.9, label=f"chosen: {chosen_um:+g} µm"
        )
    axes[0, 0].set(xlabel="working point x0, µm", ylabel="sd of τ² at 1e4 counts, µm²", title="working point")
    axes[0, 0].legend(fontsize=8)
    axes[0, 0].grid(alpha=0.3)
    return figure


def offset_prior(tray: Arrays, prior: Arrays) -> Figure:
    """Offset against transmission of the plates, and what is left beside the fitted prior, if one was fitted."""
    t, o, sd = tray["t"], tray["o"], tray["sd_o"]
    figure, axes = grid(2)
    for b, name in enumerate(BINS):
        axes[0, 0].errorbar(t[b], o[b], sd[b], fmt="o", markersize=3, color=COLOURS[b], label=f"{name} bin")
        if "coefficients" not in prior:
            axes[0, 1].plot(tray["chi2"][b], "o", color=COLOURS[b], markersize=3)
            axes[0, 1].set(xlabel="plate", ylabel="reduced χ²", title="uniformity of the plates")
            continue
        fitted = OffsetPrior(prior["coefficients"], prior["sd"])
        away = o - predict_offset(fitted, t)
        axes[0, 1].errorbar(t[b], away[b], sd[b], fmt="o", markersize=3, color=COLOURS[b], capsize=2)
        axes[0, 1].axhspan(-fitted.sd[b], fitted.sd[b], color=COLOURS[b], alpha=0.12)
    axes[0, 0].set(xlabel="transmission t", ylabel="offset o", title="plates of the reference tray")
    axes[0, 0].legend(fontsize=8)
    if "coefficients" in prior:
        axes[0, 1].set(xlabel="transmission t", ylabel="o − prior", title="beside the prior, ±1 σ shaded")
    return figure


mpl.rcParams["savefig.facecolor"] = "white"
