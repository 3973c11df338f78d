"""The picture of one bag: ten windowed images with their objects, scale bars and units, on one PNG.

Everything on it is read from the bag's HDF5 file, so a sheet can be made again at any time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from edge.archive import captions, layout, marks, text
from edge.archive.colour import paint
from edge.archive.heat import Heat
from edge.archive.panels import Panel, panels
from edge.archive.reader import BagFile, Geometry
from edge.messages import DetectedObject
from firmware_bridge.scanner import BINS

F32 = npt.NDArray[np.float32]

PAGE_WIDTH = 2400
MARGIN = 44
GAP = 28
TITLE = 40
#: Room to the right of each picture for its colour bar and numbers.
BAR_ROOM = 100
BAR_WIDTH = 14
FONT = 24
LABEL_FONT = 17
#: Where a picture has no usable value.
MISSING: marks.Rgb = (150, 157, 166)
#: Page shape that is aimed at, width / height.
PAGE_SHAPE = 1.45
#: Pictures are never taller than this: a phone on a tall field would fill pages.
MAX_IMAGE_HEIGHT = 860
MAX_LISTED = 14


@dataclass(frozen=True)
class Plan:
    """Arrangement of the ten pictures on the page, in pixels."""

    across: int
    down: int
    image_width: int
    image_height: int
    cell_width: int
    list_height: int
    page_width: int
    page_height: int

    def cell(self, index: int) -> tuple[int, int]:
        """Upper left corner of cell ``index``, counted along the rows."""
        x = MARGIN + (index % self.across) * (self.cell_width + GAP)
        y = captions.HEADER + (index // self.across) * self.row_height
        return x, y

    def place(self, channel: int, energy_bin: int) -> tuple[int, int]:
        """Corner of one picture: the bins side by side, or one above the other when a row holds a whole bin."""
        return self.cell(5 * energy_bin + channel if self.across == 5 else len(BINS) * channel + energy_bin)

    @property
    def row_height(self) -> int:
        """Title, picture and gap."""
        return TITLE + self.image_height + GAP


def plan_page(width_mm: float, height_mm: float, objects: int) -> Plan:
    """The arrangement (2 × 5, 4 × 3 or 5 × 2 pictures) whose page is nearest to PAGE_SHAPE."""
    plans = [_arrange(across, down, width_mm / height_mm, objects) for across, down in ((2, 5), (4, 3), (5, 2))]
    return min(plans, key=lambda plan: abs(math.log(plan.page_width / plan.page_height / PAGE_SHAPE)))


def _arrange(across: int, down: int, shape: float, objects: int) -> Plan:
    cell = (PAGE_WIDTH - 2 * MARGIN - (across - 1) * GAP) // across
    image_width = cell - BAR_ROOM
    image_height = round(image_width / shape)
    if image_height > MAX_IMAGE_HEIGHT:
        image_height = MAX_IMAGE_HEIGHT
        image_width = max(1, round(image_height * shape))
        cell = image_width + BAR_ROOM
    page_width = max(2 * MARGIN + across * (cell + GAP) - GAP, captions.LEAST_WIDTH)
    # With 4 × 3 cells, two are left over for the list of objects; otherwise it goes below.
    below = 0 if across * down > 10 else captions.list_height(min(objects, MAX_LISTED), columns=2)
    body = down * (TITLE + image_height + GAP)
    page_height = captions.HEADER + body + (below + GAP if below else 0) + captions.FOOTER
    return Plan(across, down, image_width, image_height, cell, below, page_width, page_height)


def write_sheet(path: Path) -> Path:
    """Draw the sheet of the bag file ``path`` beside it (``.png``) and return the sheet's path."""
    with BagFile(path) as file:
        sheet = draw_sheet(file)
    target = path.with_suffix(layout.SHEET_SUFFIX)
    part = target.with_name(target.name + ".part")
    sheet.save(part, format="PNG", compress_level=3)
    part.replace(target)
    return target


def draw_sheet(file: BagFile) -> Image.Image:
    """The sheet of an open bag file, RGB."""
    judged = file.verdict.objects if file.verdict else ()
    objects = tuple(sorted(judged, key=lambda o: (o.category == "explosive", o.probability), reverse=True))
    geometry = file.geometry
    if geometry is None or not file.has_images or not geometry.rows or not geometry.columns:
        return _without_images(file)
    heat = Heat.of(file.verdict.saliency if file.verdict else None, geometry.rows, geometry.columns)
    width_mm = geometry.columns * geometry.grid_um / 1e3
    plan = plan_page(width_mm, geometry.rows * geometry.row_pitch_um / 1e3, len(objects))
    sheet = Image.new("RGB", (plan.page_width, plan.page_height), marks.PAPER)
    captions.draw_header(sheet, file)
    for index in range(len(BINS)):
        # One bin at a time: a fine, long bag has 36 MB per picture.
        for channel, panel in enumerate(panels(file, index)):
            _draw_panel(sheet, panel, plan.place(channel, index), plan, geometry, objects, heat)
    if plan.list_height:
        top = captions.HEADER + plan.down * plan.row_height
        room = (MARGIN, top, plan.page_width - MARGIN, top + plan.list_height)
        captions.draw_objects(sheet, room, objects[:MAX_LISTED], len(objects), columns=2)
    elif plan.across * plan.down > 10:
        left, top = plan.cell(10)
        room = (left, top, plan.page_width - MARGIN, top + plan.row_height - GAP)
        captions.draw_objects(sheet, room, objects[:MAX_LISTED], len(objects), columns=1)
    captions.draw_footer(sheet, file)
    return sheet


def _draw_panel(
    sheet: Image.Image,
    panel: Panel,
    corner: tuple[int, int],
    plan: Plan,
    geometry: Geometry,
    objects: tuple[DetectedObject, ...],
    heat: Heat | None,
) -> None:
    x, y = corner
    box = (x, y + TITLE, x + plan.image_width, y + TITLE + plan.image_height)
    draw = ImageDraw.Draw(sheet)
    captions.draw_panel_title(draw, (x, y + TITLE - 10), panel, plan.cell_width)
    values = resample(panel.values, (plan.image_width, plan.image_height))
    picture = paint(values, panel.colours, panel.window, MISSING)
    if panel.key == "attenuation" and heat is not None:
        picture = heat.over(picture)
    sheet.paste(Image.fromarray(picture), box[:2])
    draw.rectangle((box[0] - 1, box[1] - 1, box[2], box[3]), outline=marks.LINE)
    mapping = marks.Mapping(box, geometry.rows, geometry.columns)
    edges = [(geometry.bag_from_um - geometry.origin_um) / geometry.grid_um]
    if geometry.bag_to_um is not None:
        edges.append((geometry.bag_to_um - geometry.origin_um) / geometry.grid_um)
    if panel.key == "attenuation":
        marks.draw_bag_edges(draw, mapping, edges)
    # Threats are marked everywhere. What is not one would only hide the picture: it is shown on the offset images.
    shown = objects if panel.key == "offset" else tuple(o for o in objects if o.category == "explosive")
    marks.draw_outlines(sheet, mapping, shown)
    marks.draw_labels(draw, mapping, shown[:MAX_LISTED], LABEL_FONT, words=panel.key == "attenuation")
    marks.draw_scale_bar(draw, box, geometry.columns * geometry.grid_um / 1e3, LABEL_FONT)
    bar = (box[2] + 12, box[1], box[2] + 12 + BAR_WIDTH, box[3])
    marks.draw_colour_bar(sheet, draw, bar, panel.colours, panel.window, LABEL_FONT)
    if not np.isfinite(values).any():
        middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        draw.text(middle, "no significant value", font=text.font(FONT), fill=marks.WHITE, anchor="mm")


def resample(values: F32, size: tuple[int, int]) -> F32:
    """``values`` (rows, columns) at ``size`` (width, height) pixels; NaN where most of the area has no value."""
    valid = np.isfinite(values)
    weight = _resize(valid.astype(np.float32), size)
    total = _resize(np.where(valid, values, np.float32(0)), size)
    return np.divide(total, weight, out=np.full(weight.shape, np.nan, np.float32), where=weight > 0.5)


def _resize(values: F32, size: tuple[int, int]) -> F32:
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR), np.float32)


def _without_images(file: BagFile) -> Image.Image:
    sheet = Image.new("RGB", (captions.LEAST_WIDTH, captions.HEADER + 220 + captions.FOOTER), marks.PAPER)
    captions.draw_header(sheet, file)
    captions.draw_notice(sheet, (MARGIN, captions.HEADER, captions.LEAST_WIDTH - MARGIN, captions.HEADER + 200), file)
    captions.draw_footer(sheet, file)
    return sheet
