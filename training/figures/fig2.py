"""Fig. 2 of the paper on simulated samples: materials in (t, dark-field), against thickness, and in ratio space."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from calibration.linearity import Linearisation, linearise
from training.figures import plotting
from training.figures.plotting import FWHM2, HIGH, LOW
from training.figures.wedge import REFERENCES, Wedge, ratios

#: Thickness of the first containers, mm.
CONTAINER_MM = 5.0
#: Pixels drawn of each material.
POINTS = 400
#: Steps thinner than this are left out of the ratio space: their dark-field ratio is mostly noise.
THINNEST_RATIO_MM = 7.5
#: Dark-field ratios shown; the noisiest points of weak scatterers lie outside.
RATIO_RANGE = (2.0, 10.0)


def panels_ab(wedges: list[Wedge], out: Path) -> dict[str, dict[str, float]]:
    """(a) means with the spread of their pixels, (b) single pixels, of 5 mm containers, low bin."""
    drawn, axes = plotting.figure(2, 1)
    table = {}
    for wedge in wedges:
        k = int(np.argmin(np.abs(wedge.thickness_mm - CONTAINER_MM)))
        t, dark = wedge.pixels[k].astype(np.float64)
        table[wedge.material] = {
            "t": float(t.mean()),
            "t_sd": float(t.std()),
            "dark_field_um2": float(dark.mean()),
            "dark_field_sd_um2": float(dark.std()),
        }
        style = plotting.marker(wedge.material)
        axes[0].errorbar(t.mean(), FWHM2 * dark.mean(), FWHM2 * dark.std(), t.std(), capsize=2, **style)
        chosen = np.linspace(0, t.size - 1, min(POINTS, t.size)).astype(int)
        axes[1].plot(t[chosen], FWHM2 * dark[chosen], **(style | {"markersize": 2.5}))
    for axis, name in zip(axes, "ab", strict=True):
        axis.set(xlabel="transmission t (container floor = 1)", ylabel="FWHM² − FWHM₀², µm² at M1", title=name)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8, ncols=2)
    plotting.save(
        drawn,
        out / "fig2ab.png",
        f"Transmission against dark-field of {CONTAINER_MM:g} mm containers, low bin: means with the standard "
        "deviation of their pixels (a), single pixels of the 0.3 mm grid (b). Filled: explosives.",
    )
    return table


def panel_c(wedges: list[Wedge], out: Path) -> dict[str, list[float]]:
    """Dark-field against attenuation, and their ratio against thickness, both bins."""
    drawn, axes = plotting.figure(2, len(wedges), height=3.8)
    table = {}
    for row, wedge in enumerate(wedges):
        for b, (name, colour) in enumerate((("low", LOW), ("high", HIGH))):
            attenuation, dark = wedge.signals[0, b], FWHM2 * wedge.signals[1, b]
            sem = FWHM2 * wedge.sem[1, b]
            style = {"color": colour, "marker": "o", "markersize": 4, "capsize": 2, "label": f"{name} bin"}
            axes[row, 0].errorbar(attenuation, dark, sem, wedge.sem[0, b], linestyle="none", **style)
            slope = (attenuation * dark / sem**2).sum() / (attenuation**2 / sem**2).sum()
            line = np.array([0, attenuation.max()])
            axes[row, 0].plot(line, slope * line, color=colour, linewidth=0.8)
            axes[row, 1].errorbar(
                wedge.thickness_mm / 10, dark / attenuation, sem / attenuation, linestyle="-", **style
            )
            table[f"{wedge.material} {name}"] = [float(v) for v in dark / attenuation]
        axes[row, 0].set(xlabel="attenuation µz", ylabel="FWHM² − FWHM₀², µm²", title=wedge.material)
        axes[row, 1].set(xlabel="thickness, cm", ylabel="their ratio, µm²", title=wedge.material, ylim=(0, None))
        for axis in axes[row]:
            axis.grid(alpha=0.3)
            axis.legend(fontsize=8)
    plotting.save(
        drawn,
        out / "fig2c.png",
        "Left: dark-field against attenuation of fifteen thicknesses, 2.5 to 37.5 mm, with the line through the "
        "origin. Right: their ratio. Bars: 1-σ of the means.",
    )
    return table


def panel_d(wedges: list[Wedge], out: Path, correction: Linearisation) -> dict[str, dict[str, float]]:
    """The three ratios of both bins: single thicknesses as retrieved, and means over them after linearisation."""
    drawn, axes = plotting.figure(2, 1, subplot_kw={"projection": "3d"}, height=5.6)
    table: dict[str, dict[str, float]] = {}
    for wedge in wedges:
        thick = wedge.thickness_mm >= THINNEST_RATIO_MM
        style = plotting.marker(wedge.material)
        raw, _ = ratios(wedge.signals[..., thick], wedge.sem[..., thick])
        axes[0].plot(*raw, **(style | {"markersize": 4}))
        value, error = ratios(linearise(correction, wedge.signals)[..., thick], wedge.sem[..., thick])
        weight = 1 / error**2
        mean, sigma = (value * weight).sum(axis=1) / weight.sum(axis=1), 1 / np.sqrt(weight.sum(axis=1))
        axes[1].errorbar(*mean, xerr=sigma[0], yerr=sigma[1], zerr=sigma[2], **style)
        table[wedge.material] = {
            f"{name}{part}": float(v)
            for part, values in (("", mean), ("_sigma", sigma))
            for name, v in zip(("R_df", "R_ab", "R_of"), values, strict=True)
        }
    for axis, title in zip(axes, ("as retrieved", "linearised, means over thicknesses"), strict=True):
        axis.set(xlabel="R_df", ylabel="R_ab", zlabel="R_of", title=title)
        axis.set_xlim(*RATIO_RANGE)
        axis.view_init(20, -50)
    axes[1].legend(fontsize=8, ncols=2, loc="upper left")
    plotting.save(
        drawn,
        out / "fig2d.png",
        "Ratios low over high bin of dark-field, attenuation and offset attenuation: each thickness from "
        f"{THINNEST_RATIO_MM:g} mm as retrieved (left); means over the thicknesses, linearised with the wedges of "
        f"{', '.join(REFERENCES)}, with their 1-σ (right). Filled: explosives.",
    )
    return table
