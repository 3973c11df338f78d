"""The five pictures of one energy bin: what each one shows, how it is computed from the file, how it is windowed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from edge.archive.colour import ColourMap
from edge.archive.reader import BagFile
from firmware_bridge.scanner import BINS
from kernels.settings import SETTINGS
from kernels.types import Flag

F32 = npt.NDArray[np.float32]
Window = tuple[float, float]

#: Pixels with one of these bits have no value worth a colour.
UNUSABLE = int(Flag.NOT_CONVERGED | Flag.SINGULAR | Flag.BAD_INPUT)
#: A flagged pixel below this transmission is no riddle: next to nothing comes through. Shown as opaque, not as unknown.
OPAQUE_TRANSMISSION = 0.15
#: A transmission below this (or negative by noise) is shown as this.
MIN_TRANSMISSION = 1e-3
#: The ratio is shown where the attenuation is significant, and at least this large.
RATIO_MIN_ATTENUATION = 0.05
#: Dark-field and ratio are shown as means over so many pixels square, weighted with 1/σ².
MEAN_PIXELS = 3
#: Windows are taken from pixels whose σ is at most this multiple of the median σ.
QUIET = 6.0


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


def panels(file: BagFile, index: int) -> list[Panel]:
    """The five panels of energy bin ``index`` of a file that has images."""
    flags = file.flags(index)
    usable = (flags & UNUSABLE) == 0
    transmission, transmission_sd = _read(file, "transmission", index)
    opaque = ~usable & ((flags & Flag.BAD_INPUT) == 0) & (transmission < OPAQUE_TRANSMISSION)
    attenuation = _masked(_attenuation(transmission), usable)
    attenuation_window = _from_zero(attenuation, 92.0, 0.4)
    offset = _masked(file.channel("offset", index), usable)
    offset_window = _to_one(offset)

    refraction, refraction_sd = _read(file, "refraction_um", index)
    refraction = _masked(refraction, usable)
    refraction_window = _symmetric(refraction, refraction_sd)

    dark, dark_sd = weighted_mean(*_read(file, "dark_field_um2", index), usable)
    dark_window = _dark_window(dark, dark_sd)
    dark = _masked(dark, dark_sd <= dark_window[1])

    relative_sd = transmission_sd / np.maximum(transmission, np.float32(MIN_TRANSMISSION))
    mean, mean_sd = weighted_mean(_attenuation(transmission), relative_sd.astype(np.float32), usable)
    ratio, ratio_sd = ratio_image(mean, mean_sd, dark, dark_sd)
    ratio_window = _from_zero(_quiet(ratio, ratio_sd), 94.0, 1.0)
    ratio = _masked(ratio, ratio_sd <= ratio_window[1])

    black = np.float32(attenuation_window[1])
    name = BINS[index]
    return [
        Panel("attenuation", "attenuation −ln t", "", name, "grey_reversed", attenuation_window,
              np.where(opaque, black, attenuation)),
        Panel("dark_field", "dark-field τ²", "µm²", name, "ember", dark_window, dark),
        Panel("ratio", "ratio τ² / −ln t", "µm²", name, "lagoon", ratio_window, ratio),
        Panel("refraction", "refraction Δ", "µm", name, "balance", refraction_window, refraction),
        Panel("offset", "offset o", "", name, "grey", offset_window,
              np.where(opaque, np.float32(offset_window[0]), offset)),
    ]  # fmt: skip


def weighted_mean(values: F32, sd: F32, usable: npt.NDArray[np.bool_]) -> tuple[F32, F32]:
    """Mean over MEAN_PIXELS² pixels with weights 1/σ², and its σ. Unusable pixels stay NaN and count nowhere."""
    usable = usable & np.isfinite(values) & np.isfinite(sd) & (sd > 0)
    weight = np.zeros_like(values)
    np.divide(1.0, np.square(sd, dtype=np.float32), out=weight, where=usable)
    total = ndimage.uniform_filter(weight, MEAN_PIXELS, mode="constant")
    scaled = ndimage.uniform_filter(weight * np.where(usable, values, np.float32(0)), MEAN_PIXELS, mode="constant")
    nothing = np.full_like(values, np.nan)
    mean = np.divide(scaled, total, out=nothing.copy(), where=usable & (total > 0))
    mean_sd = np.divide(1.0, np.sqrt(total * MEAN_PIXELS**2), out=nothing, where=usable & (total > 0))
    return mean, mean_sd


def ratio_image(attenuation: F32, attenuation_sd: F32, dark: F32, dark_sd: F32) -> tuple[F32, F32]:
    """τ²/(−ln t) in µm² and its σ where the attenuation is significant, else NaN (physics.md 6)."""
    with np.errstate(invalid="ignore"):
        least = np.maximum(np.float32(RATIO_MIN_ATTENUATION), np.float32(SETTINGS.ratio_significance) * attenuation_sd)
        significant = attenuation > least
    nothing = np.full_like(dark, np.nan)
    ratio = np.divide(dark, attenuation, out=nothing.copy(), where=significant)
    sd = np.divide(np.hypot(dark_sd, ratio * attenuation_sd), attenuation, out=nothing, where=significant)
    return ratio, sd


def _read(file: BagFile, channel: str, index: int) -> tuple[F32, F32]:
    return file.channel(channel, index), file.channel_sigma(channel, index)


def _attenuation(transmission: F32) -> F32:
    return (-np.log(np.maximum(transmission, np.float32(MIN_TRANSMISSION)))).astype(np.float32)


def _masked(values: F32, keep: npt.NDArray[np.bool_]) -> F32:
    return np.where(keep, values, np.float32(np.nan))


def _quiet(values: F32, sd: F32) -> F32:
    """``values`` without the pixels that are much noisier than most."""
    typical = _percentile(sd[np.isfinite(values)], 50.0)
    return _masked(values, sd <= QUIET * typical)


def _percentile(values: F32, percent: float) -> float:
    finite = values[np.isfinite(values)]
    return float(np.percentile(finite, percent)) if finite.size else 0.0


def _from_zero(values: F32, percent: float, least: float) -> Window:
    """0 to a percentile of what is not air, but at least ``least``."""
    return 0.0, max(_percentile(values[values > least / 4], percent), least)


def _dark_window(dark: F32, dark_sd: F32) -> Window:
    """0 to the 99.5th percentile of the quieter pixels, but at least 6 median σ: an empty belt stays dark."""
    typical = _percentile(dark_sd[np.isfinite(dark)], 50.0)
    return 0.0, max(_percentile(_quiet(dark, dark_sd), 99.5), 6 * typical, 1.0)


def _symmetric(values: F32, sd: F32) -> Window:
    typical = _percentile(sd[np.isfinite(values)], 50.0)
    reach = max(_percentile(np.abs(_quiet(values, sd)), 99.5), 4 * typical, 0.1)
    return -reach, reach


def _to_one(values: F32) -> Window:
    return max(0.0, min(_percentile(values, 0.5), 0.8)), 1.05
