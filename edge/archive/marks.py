"""Marks on a picture: object outlines with labels, scale bar, bag edges, colour bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from edge.archive import text
from edge.archive.colour import ENTRIES, ColourMap, table
from edge.messages import DetectedObject

Rgb = tuple[int, int, int]
Box = tuple[int, int, int, int]

RED: Rgb = (204, 22, 44)
GREEN: Rgb = (20, 122, 66)
AMBER: Rgb = (184, 110, 0)
SLATE: Rgb = (92, 102, 116)
INK: Rgb = (24, 28, 34)
MUTED: Rgb = (98, 106, 118)
LINE: Rgb = (206, 210, 216)
PAPER: Rgb = (250, 250, 248)
WHITE: Rgb = (255, 255, 255)

#: Outlines are drawn this much larger and reduced, so that slanted lines are smooth.
OVERSAMPLING = 2
_SCALE_STEPS_MM = (1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Mapping:
    """From pixels of the bag's image (row, column) to pixels of the sheet, inside ``box`` = (x0, y0, x1, y1)."""

    box: Box
    rows: int
    columns: int

    def x(self, column: float) -> float:
        """Sheet x of a column edge."""
        x0, _, x1, _ = self.box
        return x0 + column * (x1 - x0) / self.columns

    def y(self, row: float) -> float:
        """Sheet y of a row edge."""
        _, y0, _, y1 = self.box
        return y0 + row * (y1 - y0) / self.rows


def object_colour(found: DetectedObject) -> Rgb:
    """Red for a threat, green for benign, grey for what was not judged."""
    return {"explosive": RED, "benign": GREEN, "unknown": AMBER}.get(found.category, SLATE)


def object_label(found: DetectedObject) -> str:
    """Top candidate with its probability, or the category when there is none."""
    if not found.candidates:
        return found.category
    best = max(found.candidates, key=lambda candidate: candidate.probability)
    return f"{best.material} {best.probability:.0%}"


def draw_outlines(sheet: Image.Image, mapping: Mapping, objects: Sequence[DetectedObject]) -> None:
    """Outline of every object, coloured on a white halo, anti-aliased."""
    if not objects:
        return
    x0, y0, x1, y1 = mapping.box
    size = ((x1 - x0) * OVERSAMPLING, (y1 - y0) * OVERSAMPLING)
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    draw = ImageDraw.Draw(layer)
    lines = [(_vertices(found, mapping), object_colour(found), found.category == "explosive") for found in objects]
    for points, _, _ in lines:
        draw.line(points, fill=(255, 255, 255, 200), width=5 * OVERSAMPLING, joint="curve")
    for points, colour, strong in sorted(lines, key=lambda line: line[2]):
        draw.line(points, fill=(*colour, 255), width=(3 if strong else 2) * OVERSAMPLING, joint="curve")
    layer = layer.resize((x1 - x0, y1 - y0), Image.Resampling.BOX)
    sheet.paste(layer, (x0, y0), layer)


def _vertices(found: DetectedObject, mapping: Mapping) -> list[tuple[float, float]]:
    row0, column0, row1, column1 = found.box
    corners = found.polygon or ((row0, column0), (row0, column1), (row1, column1), (row1, column0))
    x0, y0, _, _ = mapping.box
    points = [((mapping.x(c) - x0) * OVERSAMPLING, (mapping.y(r) - y0) * OVERSAMPLING) for r, c in corners]
    return [*points, points[0]]


def draw_labels(
    draw: ImageDraw.ImageDraw, mapping: Mapping, objects: Sequence[DetectedObject], size: int, *, words: bool
) -> None:
    """A numbered tag at each object, with words if wanted; tags move up or down rather than overlap."""
    taken: list[Box] = []
    x0, y0, x1, y1 = mapping.box
    for number, found in enumerate(objects, start=1):
        label = f"{number}  {object_label(found)}" if words else f"{number}"
        wide, high = text.width(label, size, bold=True) + 12, size + 8
        row0, column0, row1, _ = found.box
        left = round(min(max(mapping.x(column0), x0), max(x1 - wide, x0)))
        place = (left, 0, left + wide, high)
        for top in (mapping.y(row0) - high - 3, mapping.y(row1) + 3, mapping.y(row0) + 3, mapping.y(row1) - high - 3):
            top = round(min(max(top, y0), y1 - high))  # noqa: PLW2901
            place = (left, top, left + wide, top + high)
            if not any(_overlap(place, other) for other in taken):
                break
        taken.append(place)
        draw.rounded_rectangle(place, radius=4, fill=object_colour(found), outline=WHITE)
        draw.text(
            (place[0] + 6, place[1] + high / 2),
            text.spell(label),
            font=text.font(size, bold=True),
            fill=WHITE,
            anchor="lm",
        )


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def scale_bar_mm(width_mm: float) -> int:
    """Round length of about a quarter of the picture's width, mm."""
    fitting = [step for step in _SCALE_STEPS_MM if step <= 0.25 * width_mm]
    return fitting[-1] if fitting else _SCALE_STEPS_MM[0]


def draw_scale_bar(draw: ImageDraw.ImageDraw, box: Box, width_mm: float, size: int) -> None:
    """Bar with its length in mm at the lower left of ``box``, on a plate that any picture lets be read."""
    length_mm = scale_bar_mm(width_mm)
    length = round(length_mm * (box[2] - box[0]) / width_mm)
    label = f"{length_mm} mm"
    plate_width = max(length, text.width(label, size)) + 16
    left, bottom = box[0] + 8, box[3] - 8
    top = bottom - size - 20
    draw.rounded_rectangle((left, top, left + plate_width, bottom), radius=4, fill=PAPER)
    middle = left + plate_width / 2
    draw.text((middle, top + 3), label, font=text.font(size), fill=INK, anchor="ma")
    start = round(middle - length / 2)
    draw.rectangle((start, bottom - 8, start + length - 1, bottom - 5), fill=INK)


def draw_bag_edges(draw: ImageDraw.ImageDraw, mapping: Mapping, columns: Sequence[float]) -> None:
    """Dotted lines where the light barrier saw the bag's edges."""
    _, y0, _, y1 = mapping.box
    for column in columns:
        if 0 <= column <= mapping.columns:
            x = round(mapping.x(column))
            for y in range(y0, y1, 8):
                draw.line((x, y, x, min(y + 2, y1)), fill=MUTED)


def ticks(low: float, high: float) -> list[float]:
    """Three to six round values within a window."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def draw_colour_bar(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, box: Box, colours: ColourMap, window: tuple[float, float], size: int
) -> None:
    """Upright bar in ``box`` with ticks and numbers to its right; the largest value is at the top."""
    x0, y0, x1, y1 = box
    column = table(colours)[::-1][np.linspace(0, ENTRIES - 1, y1 - y0).round().astype(np.intp)]
    sheet.paste(Image.fromarray(np.repeat(column[:, None, :], x1 - x0, axis=1)), (x0, y0))
    draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=LINE)
    low, high = window
    values = ticks(low, high)
    digits = max(0, -math.floor(math.log10(values[1] - values[0]) + 1e-9)) if len(values) > 1 else 1
    if len(values) > 1 and not math.isclose((values[1] - values[0]) * 10**digits % 1, 0, abs_tol=1e-6):
        digits += 1
    for value in values:
        y = y1 - 1 - (value - low) / (high - low) * (y1 - 1 - y0)
        draw.line((x1, y, x1 + 4, y), fill=MUTED)
        label = f"{value:.{digits}f}".replace("-", "−") if value else "0"
        draw.text((x1 + 7, y), text.spell(label), font=text.font(size), fill=MUTED, anchor="lm")
