"""Colour maps for the sheet: 256-entry tables built in OKLab, so that equal steps in value look equal.

Each sequential map has strictly monotone lightness and so survives a grey printer; the diverging one is lightest at
its centre. OKLab is the colour space of B. Ottosson (2020), https://bottosson.github.io/posts/oklab/.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import numpy.typing as npt

U8 = npt.NDArray[np.uint8]
F64 = npt.NDArray[np.float64]
ColourMap = Literal["grey", "grey_reversed", "ember", "lagoon", "balance"]
ENTRIES = 256

_LMS_FROM_LAB = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_RGB_FROM_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
#: (position, lightness, chroma, hue in degrees) of the points between which a map is interpolated.
_POINTS: dict[ColourMap, tuple[tuple[float, float, float, float], ...]] = {
    "grey": ((0.0, 0.12, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0)),
    "grey_reversed": ((0.0, 1.0, 0.0, 0.0), (1.0, 0.12, 0.0, 0.0)),
    "ember": (
        (0.0, 0.13, 0.03, 290.0),
        (0.3, 0.37, 0.15, 315.0),
        (0.6, 0.62, 0.20, 390.0),
        (0.85, 0.83, 0.15, 435.0),
        (1.0, 0.97, 0.07, 460.0),
    ),
    "lagoon": (
        (0.0, 0.15, 0.04, 285.0),
        (0.35, 0.42, 0.12, 250.0),
        (0.65, 0.66, 0.12, 180.0),
        (0.9, 0.88, 0.16, 125.0),
        (1.0, 0.97, 0.09, 108.0),
    ),
    "balance": (
        (0.0, 0.33, 0.13, 255.0),
        (0.25, 0.62, 0.13, 245.0),
        (0.5, 0.975, 0.0, 245.0),
        (0.500001, 0.975, 0.0, 40.0),
        (0.75, 0.65, 0.16, 40.0),
        (1.0, 0.36, 0.14, 25.0),
    ),
}


def _linear_rgb(lab: F64) -> F64:
    return np.asarray(((lab @ _LMS_FROM_LAB.T) ** 3) @ _RGB_FROM_LMS.T, np.float64)


def _srgb(linear: F64) -> U8:
    linear = np.clip(linear, 0.0, 1.0)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


@cache
def table(name: ColourMap) -> U8:
    """The 256 sRGB colours of ``name``, (256, 3) uint8, from the smallest value to the largest."""
    points = np.array(_POINTS[name])
    lightness, chroma, hue = (
        np.interp(np.linspace(0, 1, ENTRIES), points[:, 0], points[:, column]) for column in (1, 2, 3)
    )
    angle = np.deg2rad(hue)
    # Chroma outside what a screen can show is taken back until every colour is real; lightness and hue stay.
    inside, outside = np.zeros(ENTRIES), np.ones(ENTRIES)
    for _ in range(20):
        scale = (inside + outside) / 2
        lab = np.stack([lightness, scale * chroma * np.cos(angle), scale * chroma * np.sin(angle)], axis=1)
        rgb = _linear_rgb(lab)
        fits = ((rgb >= -1e-4) & (rgb <= 1 + 1e-4)).all(axis=1)
        inside, outside = np.where(fits, scale, inside), np.where(fits, outside, scale)
    lab = np.stack([lightness, inside * chroma * np.cos(angle), inside * chroma * np.sin(angle)], axis=1)
    return _srgb(_linear_rgb(lab))


def paint(
    values: npt.NDArray[np.float32], name: ColourMap, window: tuple[float, float], missing: tuple[int, int, int]
) -> U8:
    """Colours of ``values`` (rows, columns) within ``window``; NaN becomes ``missing``. (rows, columns, 3) uint8."""
    low, high = window
    valid = np.isfinite(values)
    position = np.where(valid, values, low)
    position = np.clip((position - low) / max(high - low, 1e-12), 0, 1) * (ENTRIES - 1)
    colours = table(name)[np.round(position).astype(np.intp)]
    colours[~valid] = missing
    return colours
