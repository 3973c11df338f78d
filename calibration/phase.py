"""Where the illumination curves of every row are centred, from a coarse mask scan over one period of the mask.

The four groups together sample the curves over four periods, 300 µm, without a gap. The four shifts of the mask are
unlike, so the correlation with the nominal curve has one peak in 300 µm: no misalignment is ambiguous within a row,
and neighbouring rows continue each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firmware_bridge.scanner import GROUPS, Scanner

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

#: Width of the nominal curve, µm at M1; only the place of the correlation's peak counts.
TEMPLATE_UM = 12.0
#: The correlation is looked up on a grid this many times finer, then between its points by a parabola.
FINER = 16
#: Rows are clipped from a straight line beyond this many robust σ, so many times.
CLIP, ROUNDS = 3.5, 3


class Level(NamedTuple):
    """A straight line through the phase of the rows: ``place_um`` at mid-height, ``slope`` in µm/mm = mrad."""

    place_um: float
    slope: float


def positions(scanner: Scanner, count: int) -> F64:
    """Mask positions of the coarse scan: one period, evenly, centred on 0, µm."""
    return np.asarray((np.arange(count) + 0.5) / count * scanner.m1_period_um - scanner.m1_period_um / 2)


def phases(means: F32, at_um: F64, scanner: Scanner) -> F64:
    """Curve centre minus nominal of each row, (rows,) µm, continuous over the rows.

    ``means`` (P, 4, 2, rows): group means at the positions ``at_um`` of :func:`positions`.
    """
    period = GROUPS * scanner.m1_period_um
    # Group g at position x sees the curves at x + 75 g: positions within a group, then the groups.
    signal = means.sum(axis=2, dtype=np.float64).transpose(2, 1, 0).reshape(means.shape[-1], -1)
    grid = (at_um[None, :] + scanner.m1_period_um * np.arange(GROUPS)[:, None]).ravel()
    template = np.zeros(grid.size)
    for g, shift in enumerate(scanner.m1_shifts_um):
        away = np.mod(grid - scanner.m1_period_um * g - shift + period / 2, period) - period / 2
        template += np.exp(-0.5 * (away / TEMPLATE_UM) ** 2)
    spectrum = np.fft.rfft(signal - signal.mean(axis=1, keepdims=True)) * np.conj(np.fft.rfft(template))
    fine = grid.size * FINER
    correlation = np.fft.irfft(spectrum, fine)
    peak = correlation.argmax(axis=1)
    left, middle, right = (np.take_along_axis(correlation, ((peak + k) % fine)[:, None], 1)[:, 0] for k in (-1, 0, 1))
    shift = peak + 0.5 * (left - right) / np.minimum(left - 2 * middle + right, -1e-12)
    wrapped = np.mod(shift * period / fine + period / 2, period) - period / 2
    unwrapped = np.unwrap(wrapped, period=period)
    middle_row = unwrapped[unwrapped.size // 2]
    return np.asarray(unwrapped - period * np.round(middle_row / period))


def level(phase_um: F64, heights_mm: F64) -> Level:
    """The line through the phases that outliers do not move."""
    kept = np.ones(phase_um.size, bool)
    for _ in range(ROUNDS):
        slope, place = np.polyfit(heights_mm[kept], phase_um[kept], 1)
        away = phase_um - place - slope * heights_mm
        spread = 1.4826 * float(np.median(np.abs(away[kept] - np.median(away[kept]))))
        kept = np.abs(away) <= CLIP * max(spread, 0.1)
    return Level(float(place), float(slope))


def heights_mm(scanner: Scanner) -> F64:
    """Height of every row above mid-field, at the sample mask: (rows,) mm."""
    return np.asarray(scanner.row_heights_mm())
