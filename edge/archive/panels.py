"""The ten pictures of a sheet: what each one shows, how it is computed from the file, how it is windowed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge.archive.colour import ColourMap
from edge.archive.reader import BagFile
from firmware_bridge.scanner import BINS
from kernels.settings import SETTINGS
from kernels.types import Flag

F32 = npt.NDArray[np.float32]
Window = tuple[float, float]

#: Pixels with one of these bits have no value worth a colour.
UNUSABLE = int(Flag.NOT_CONVERGED | Flag.SINGULAR | Flag.BAD_INPUT)
#: A transmission below this (or negative by noise) is shown as this: black, opaque.
MIN_TRANSMISSION = 1e-3
#: The ratio is shown where the attenuation is significant, and at least this large.
RATIO_MIN_ATTENUATION = 0.03
#: A pixel is not windowed, nor shown in dark-field and ratio, when its σ exceeds this multiple of the window's height.
NOISE_MULTIPLE = 3.0


@dataclass(frozen=True)
class Panel:
    """One picture of one energy bin. ``values``: (rows, columns) float32, NaN where there is nothing to show."""

    key: str
    title: str
    unit: str
    bin_name: str
    colours: ColourMap
    window: Window
    values: F32


def panels(file: BagFile) -> list[Panel]:
    """All panels, channel by channel, low bin before high bin; empty without images."""
    if not file.has_images:
        return []
    by_bin = [_bin_panels(file, index) for index in range(len(BINS))]
    return [panel for pair in zip(*by_bin, strict=True) for panel in pair]


def _bin_panels(file: BagFile, index: int) -> list[Panel]:
    usable = (file.flags(index) & UNUSABLE) == 0
    transmission = _masked(file.channel("transmission", index), usable)
    attenuation = _attenuation(transmission)
    floor = np.maximum(transmission, np.float32(MIN_TRANSMISSION))
    attenuation_sd = (file.channel_sigma("transmission", index) / floor).astype(np.float32)
    dark = _masked(file.channel("dark_field_um2", index), usable)
    dark_sd = file.channel_sigma("dark_field_um2", index)
    dark_window = _dark_window(dark, dark_sd)
    dark = _masked(dark, dark_sd <= NOISE_MULTIPLE * (dark_window[1] - dark_window[0]))
    refraction = _masked(file.channel("refraction_um", index), usable)
    offset = _masked(file.channel("offset", index), usable)
    ratio = ratio_image(attenuation, attenuation_sd, dark)
    name = BINS[index]
    return [
        Panel("attenuation", "attenuation −ln t", "", name, "grey_reversed", _from_zero(attenuation, 0.4), attenuation),
        Panel("dark_field", "dark-field τ²", "µm²", name, "ember", dark_window, dark),
        Panel("ratio", "ratio τ² / −ln t", "µm²", name, "lagoon", _from_zero(ratio, 1.0), ratio),
        Panel("refraction", "refraction Δ", "µm", name, "balance",
              _symmetric(refraction, file.channel_sigma("refraction_um", index)), refraction),
        Panel("offset", "offset o", "", name, "grey", _to_one(offset), offset),
    ]  # fmt: skip


def ratio_image(attenuation: F32, attenuation_sd: F32, dark: F32) -> F32:
    """τ²/(−ln t) in µm² where the attenuation is significant, else NaN (physics.md 6)."""
    with np.errstate(invalid="ignore"):
        significant = (attenuation > RATIO_MIN_ATTENUATION) & (
            attenuation > SETTINGS.ratio_significance * attenuation_sd
        )
    return np.divide(dark, attenuation, out=np.full_like(dark, np.nan), where=significant)


def _attenuation(transmission: F32) -> F32:
    with np.errstate(invalid="ignore"):
        return (-np.log(np.maximum(transmission, MIN_TRANSMISSION))).astype(np.float32)


def _masked(values: F32, keep: npt.NDArray[np.bool_]) -> F32:
    return np.where(keep, values, np.float32(np.nan))


def _percentile(values: F32, percent: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, percent)) if finite.size else 0.0


def _from_zero(values: F32, least: float) -> Window:
    """0 to the 99th percentile of what is not air, but at least ``least``."""
    with np.errstate(invalid="ignore"):
        content = values[values > least / 4]
    return 0.0, max(_percentile(content, 99.0), least)


def _dark_window(dark: F32, dark_sd: F32) -> Window:
    """0 to the 99.5th percentile of the quieter pixels, but at least 6 median σ: an empty belt stays dark."""
    typical = _percentile(dark_sd[np.isfinite(dark)], 50.0)
    with np.errstate(invalid="ignore"):
        quiet = dark[dark_sd <= NOISE_MULTIPLE * max(typical, 1e-6)]
    return 0.0, max(_percentile(quiet, 99.5), 6 * typical, 1.0)


def _symmetric(values: F32, sd: F32) -> Window:
    typical = _percentile(sd[np.isfinite(values)], 50.0)
    reach = max(_percentile(np.abs(values), 99.0), 4 * typical, 0.1)
    return -reach, reach


def _to_one(values: F32) -> Window:
    return max(0.0, min(_percentile(values, 0.5), 0.8)), 1.05
