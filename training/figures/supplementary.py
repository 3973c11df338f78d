"""Supplementary Figs. 1 to 4 of the paper on simulated samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibration.linearity import Linearisation, linearise
from kernels.types import F64
from training.figures import plotting
from training.figures.plotting import FWHM2, HIGH, LOW
from training.figures.static import stepped
from training.figures.wedge import REFERENCES, Wedge, lane, ratios, scan
from training.simulate import Sheets

#: Belt speeds that are compared with the static scan, mm/s; the middle one is about the lane's default.
SPEEDS_MM_S = (5.85, 11.7, 23.4)
#: What lies over the sample in Fig. 4.
COVER: Sheets = (("paper", 8.0), ("acrylic", 5.0))


def figure_1(material: str, seed: int, out: Path) -> dict[str, float]:
    """Moving scans at three speeds against a static stepped scan: mean and rms difference in 1-σ, per speed."""
    static = stepped(lane(seed), material, seed + 1)
    drawn, axes = plotting.figure(2, 1)
    table = {}
    for k, speed in enumerate(SPEEDS_MM_S):
        moving = scan(lane(seed, speed_mm_s=speed), material, seed + 1)
        label = f"moving, {speed:g} mm/s"
        for s, (axis, unit) in enumerate(zip(axes, (1.0, FWHM2), strict=True)):
            axis.errorbar(
                moving.thickness_mm + 0.25 * k, unit * moving.signals[s, 0], unit * moving.sem[s, 0],
                linestyle="none", marker="o", markersize=4, capsize=2, label=label,
            )  # fmt: skip
            sigma = np.hypot(moving.sem[s, 0], static.sem[s, 0])
            away = (moving.signals[s, 0] - static.signals[s, 0]) / sigma
            name = ("attenuation", "dark-field")[s]
            table[f"{name}, {speed:g} mm/s, mean difference in σ"] = float(away.mean())
            table[f"{name}, {speed:g} mm/s, rms difference in σ"] = float(np.sqrt((away**2).mean()))
    for s, (axis, unit) in enumerate(zip(axes, (1.0, FWHM2), strict=True)):
        axis.errorbar(
            static.thickness_mm - 0.25, unit * static.signals[s, 0], unit * static.sem[s, 0],
            linestyle="none", marker="s", markersize=5, capsize=2, color="black", label="static, stepped",
        )  # fmt: skip
        axis.set(xlabel="thickness, mm", ylabel=("attenuation −ln t", "FWHM² − FWHM₀², µm²")[s], title=material)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    plotting.save(
        drawn,
        out / "supplementary1.png",
        "Attenuation and dark-field, low bin, of a moving sample at three belt speeds, and of one at rest with the "
        "mask stepped to the same four places of the curve. Points of one thickness are drawn side by side.",
    )
    return table


def figure_2(wedges: list[Wedge], out: Path) -> None:
    """Dark-field of scanned samples against thickness."""
    drawn, axes = plotting.figure(2, 1)
    for b, axis in enumerate(axes):
        for wedge in wedges:
            style = plotting.marker(wedge.material) | {"linestyle": "-", "linewidth": 0.8, "markersize": 5}
            axis.plot(wedge.thickness_mm, FWHM2 * wedge.signals[1, b], **style)
        axis.set(xlabel="thickness, mm", ylabel="FWHM² − FWHM₀², µm²", title=("low bin", "high bin")[b])
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8, ncols=2)
    plotting.save(drawn, out / "supplementary2.png", "Dark-field of moving samples against their thickness.")


def figure_3(wedges: list[Wedge], out: Path, correction: Linearisation) -> dict[str, dict[str, float]]:
    """The ratios against thickness before and after linearisation; returns their drift over the wedge."""
    drawn, axes = plotting.figure(3, 2, height=3.8)
    table: dict[str, dict[str, float]] = {}
    names = ("R_df", "R_ab", "R_of")
    for row, corrected in enumerate((False, True)):
        for wedge in wedges:
            signals = linearise(correction, wedge.signals) if corrected else wedge.signals
            value, error = ratios(signals, wedge.sem)
            clear = error < 0.25 * np.abs(value)
            style = plotting.marker(wedge.material) | {"linestyle": "-", "linewidth": 0.8, "markersize": 4}
            for k, name in enumerate(names):
                axes[row, k].plot(wedge.thickness_mm[clear[k]], value[k][clear[k]], **style)
                key = f"{name} {'linearised' if corrected else 'as retrieved'}"
                table.setdefault(key, {})[wedge.material] = _drift(wedge.thickness_mm, value[k], error[k])
        for k, name in enumerate(names):
            title = "linearised" if corrected else "as retrieved"
            axes[row, k].set(xlabel="thickness, mm", ylabel=name, title=title)
            axes[row, k].grid(alpha=0.3)
    axes[0, 0].legend(fontsize=7, ncols=2)
    for row in range(2):
        axes[row, 0].set_ylim(2, 10)
    plotting.save(
        drawn,
        out / "supplementary3.png",
        f"Ratios low over high bin against thickness, as retrieved and linearised with the wedges of "
        f"{', '.join(REFERENCES)}. Points known to better than 25 %.",
    )
    return table


def _drift(z: F64, value: F64, error: F64) -> float:
    """Change over the wedge along the best straight line, as a fraction of its mean."""
    weight = 1 / error
    slope, level = np.polyfit(z - z.mean(), value, 1, w=weight)
    return float(slope * (z.max() - z.min()) / level)


def figure_4(material: str, seed: int, out: Path) -> dict[str, float]:
    """A covered sample before and after re-normalisation by what covers it, against the sample alone."""
    on = lane(seed)
    alone = scan(on, material, seed + 1)
    covered = scan(on, material, seed + 2, COVER, renormalised=False)
    freed = scan(on, material, seed + 2, COVER)
    drawn, axes = plotting.figure(2, 1)
    table = {}
    for s, (axis, unit) in enumerate(zip(axes, (1.0, FWHM2), strict=True)):
        for b, (name, colour) in enumerate((("low", LOW), ("high", HIGH))):
            for wedge, shape, what in ((alone, "o", "alone"), (covered, "x", "covered"), (freed, "^", "re-normalised")):
                axis.errorbar(
                    wedge.thickness_mm, unit * wedge.signals[s, b], unit * wedge.sem[s, b], linestyle="none",
                    marker=shape, color=colour, markersize=5, label=f"{what}, {name} bin", alpha=0.8,
                )  # fmt: skip
            away = freed.signals[s, b] / alone.signals[s, b] - 1
            weight = (alone.signals[s, b] / np.hypot(freed.sem[s, b], alone.sem[s, b])) ** 2
            signal = ("attenuation", "dark-field")[s]
            table[f"{signal}, {name} bin, relative difference"] = float((away * weight).sum() / weight.sum())
        axis.set(xlabel="thickness, mm", ylabel=("attenuation −ln t", "FWHM² − FWHM₀², µm²")[s], title=material)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    cover = " and ".join(f"{mm:g} mm of {name}" for name, mm in COVER)
    plotting.save(
        drawn,
        out / "supplementary4.png",
        f"{material} alone, under {cover}, and re-normalised by the cover beside it. What is left between the first "
        "and the last: beam hardening in the cover, and curves that are less Gaussian the more they are broadened.",
    )
    return table
