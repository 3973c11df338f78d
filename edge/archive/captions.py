"""Words on the sheet: header with the decision, panel titles, list of objects, footer with ids."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PIL import Image, ImageDraw

from edge.archive import layout, marks, text
from edge.archive.panels import Panel
from edge.archive.reader import BagFile
from edge.messages import Decision, DetectedObject, Verdict

HEADER = 168
FOOTER = 84
LEAST_WIDTH = 1500
MARGIN = 44
ROW = 38
TITLE_ROW = 50
BIG, MIDDLE, SMALL = 42, 24, 18
_DECISION_COLOURS: dict[Decision | None, marks.Rgb] = {
    Decision.ALARM: marks.RED,
    Decision.CLEAR: marks.GREEN,
    Decision.UNKNOWN: marks.AMBER,
    None: marks.SLATE,
}
#: What the offset and dark-field are, for people who see them for the first time.
FOOTNOTE = (
    "τ² is a variance at the sample mask M1: FWHM² = 8 ln2 τ² = 5.55 τ².  Dark-field and ratio: mean of 3 × 3 pixels, "
    "grey where nothing significant is known.  Dotted: bag edges at the light barrier, leading edge left."
)


HEAT_NOTE = "Red over the attenuation: where the network sees a threat.  "


def draw_header(sheet: Image.Image, file: BagFile) -> None:
    """Decision, bag, reason, time; and that the scanner is simulated, where it is."""
    draw = ImageDraw.Draw(sheet)
    verdict = file.verdict
    colour = _DECISION_COLOURS[verdict.decision if verdict else None]
    word = verdict.decision.value if verdict else "NO VERDICT"
    draw.rectangle((0, 0, sheet.width, 10), fill=colour)
    wide = text.width(word, BIG, bold=True) + 48
    draw.rounded_rectangle((MARGIN, 38, MARGIN + wide, 102), radius=10, fill=colour)
    draw.text((MARGIN + wide / 2, 70), word, font=text.font(BIG, bold=True), fill=marks.WHITE, anchor="mm")
    left = MARGIN + wide + 28
    right = sheet.width - MARGIN
    if file.attributes.get("provenance") == layout.EMULATED:
        right -= _draw_tag(draw, right, "simulated scanner") + 24
    title = text.fit(f"Bag {file.bag_id}", BIG, right - left, bold=True)
    draw.text((left, 70), text.spell(title), font=text.font(BIG, bold=True), fill=marks.INK, anchor="lm")
    line = text.fit(" · ".join(_facts(file, verdict)), MIDDLE, sheet.width - 2 * MARGIN)
    draw.text((MARGIN, 130), text.spell(line), font=text.font(MIDDLE), fill=marks.INK, anchor="lm")


def _draw_tag(draw: ImageDraw.ImageDraw, right: int, word: str) -> int:
    wide = text.width(word, MIDDLE) + 28
    draw.rounded_rectangle((right - wide, 50, right, 90), radius=20, outline=marks.MUTED, width=2)
    draw.text((right - wide / 2, 70), word, font=text.font(MIDDLE), fill=marks.MUTED, anchor="mm")
    return wide


def _facts(file: BagFile, verdict: Verdict | None) -> list[str]:
    facts = []
    if verdict is None:
        facts.append("no verdict was received for this bag")
    elif verdict.reason:
        facts.append(f"reason {verdict.reason.value}")
    if verdict:
        if verdict.bag_tag:
            facts.append(f"tag {verdict.bag_tag}")
        facts.append(f"score {verdict.score:.2f}, threshold {verdict.threshold:.2f}{_alone(verdict)}")
        if verdict.scan_start_t_ns:
            facts.append(f"scanned {_utc(verdict.scan_start_t_ns)}")
        if verdict.latency_ms is not None:
            facts.append(f"verdict {verdict.latency_ms / 1e3:.1f} s after the last frame")
    if file.supplements:
        facts.append(f"{len(file.supplements)} late supplement(s)")
    return facts


def _alone(verdict: Verdict) -> str:
    """What each model alone says, and the shadow."""
    parts = [f"{name} {share:.2f}" for name, share in verdict.contributions.items()]
    if verdict.shadow is not None:
        score = "failed" if verdict.shadow.score is None else f"{verdict.shadow.score:.2f}"
        parts.append(f"shadow {verdict.shadow.model_id} {score}")
    return f" ({', '.join(parts)})" if parts else ""


def _utc(t_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(t_ns / 1e9))


def draw_panel_title(draw: ImageDraw.ImageDraw, baseline: tuple[int, int], panel: Panel, room: int) -> None:
    """Quantity, unit and energy bin above a picture."""
    x, y = baseline
    title = panel.title[0].upper() + panel.title[1:]
    size = MIDDLE
    rest = f"{panel.unit}   {panel.bin_name} bin".strip()
    while size > SMALL - 4 and text.width(title, size, bold=True) + text.width(rest, size) + 14 > room:
        size -= 1
    draw.text((x, y), text.spell(title), font=text.font(size, bold=True), fill=marks.INK, anchor="ls")
    x += text.width(title, size, bold=True) + 14
    draw.text((x, y), text.spell(rest), font=text.font(size), fill=marks.MUTED, anchor="ls")


def list_height(objects: int, columns: int) -> int:
    """Height of the list of ``objects`` in so many columns, pixels."""
    return TITLE_ROW + ROW * max(1, -(-objects // columns))


def draw_objects(
    sheet: Image.Image, room: marks.Box, objects: Sequence[DetectedObject], total: int, columns: int
) -> None:
    """Numbered list of what was found: candidates with probabilities, area, measured ratios."""
    draw = ImageDraw.Draw(sheet)
    x0, y0, x1, y1 = room
    fitting = max(1, (y1 - y0 - TITLE_ROW) // ROW) * columns
    listed = objects[:fitting]
    heading = "Objects" if total == len(listed) else f"Objects, {len(listed)} of {total}"
    draw.text((x0, y0 + 24), heading, font=text.font(MIDDLE, bold=True), fill=marks.INK, anchor="ls")
    if not objects:
        draw.text((x0, y0 + TITLE_ROW + 16), "none", font=text.font(SMALL), fill=marks.MUTED, anchor="lm")
    down = -(-len(listed) // columns)
    for index, found in enumerate(listed):
        wide = (x1 - x0) // columns
        x = x0 + (index // max(down, 1)) * wide
        _draw_object(draw, (x, y0 + TITLE_ROW + (index % max(down, 1)) * ROW), wide - 20, index + 1, found)


def _draw_object(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], room: int, number: int, found: DetectedObject
) -> None:
    x, y = corner
    colour = marks.object_colour(found)
    draw.rounded_rectangle((x, y + 3, x + 34, y + ROW - 5), radius=4, fill=colour)
    middle = y + ROW / 2 - 1
    draw.text((x + 17, middle), str(number), font=text.font(SMALL, bold=True), fill=marks.WHITE, anchor="mm")
    best = sorted(found.candidates, key=lambda candidate: -candidate.probability)[:3]
    words = ", ".join(f"{c.material} {c.probability:.0%}" for c in best)
    head = f"{found.category}, threat {found.probability:.0%}" if found.category != "opaque" else "opaque, not judged"
    draw.text((x + 46, middle), head, font=text.font(SMALL, bold=True), fill=colour, anchor="lm")
    offset = 46 + text.width(head, SMALL, bold=True) + 16
    ratios = [f"{key} {found.features[key]:.2f}" for key in ("R_df", "R_ab", "R_of") if key in found.features]
    rest = "   ".join(part for part in (words, f"{found.area_mm2:.0f} mm²", "  ".join(ratios)) if part)
    line = text.fit(rest, SMALL, room - offset)
    draw.text((x + offset, middle), text.spell(line), font=text.font(SMALL), fill=marks.INK, anchor="lm")


def draw_notice(sheet: Image.Image, room: marks.Box, file: BagFile) -> None:
    """In place of pictures: that there are none, why, and what the file does hold."""
    draw = ImageDraw.Draw(sheet)
    draw.rounded_rectangle(room, radius=8, outline=marks.LINE, width=2)
    why = str(file.attributes.get("fault") or file.attributes.get("reason") or "no image reached the archive")
    held = "Raw phase sums are in the file." if file.has_sums else "There are no raw phase sums either."
    x, y = (room[0] + room[2]) / 2, (room[1] + room[3]) / 2
    draw.text((x, y - 20), f"No images: {why}", font=text.font(28, bold=True), fill=marks.INK, anchor="mm")
    draw.text((x, y + 24), held, font=text.font(MIDDLE), fill=marks.MUTED, anchor="mm")


def draw_footer(sheet: Image.Image, file: BagFile) -> None:
    """Ids of everything that made the sheet, and a footnote."""
    draw = ImageDraw.Draw(sheet)
    attributes, verdict = file.attributes, file.verdict
    ids = [
        f"lane {attributes.get('lane', '')}",
        f"calibration {attributes.get('calibration_id') or 'none'}",
        f"kernels {attributes.get('kernel_backend') or 'none'} ({attributes.get('retrieval_model') or 'no'} model)",
        f"detector model {attributes.get('model_id') or 'none'}",
        f"frames {attributes.get('frames', 0)}, lost {attributes.get('lost_frames', 0)}",
        f"{file.scanner.tube_kv} kVp",
    ]
    if file.geometry is not None:
        geometry = file.geometry
        ids.append(f"pixel {geometry.grid_um:.0f} × {geometry.row_pitch_um:.0f} µm")
    if verdict is not None:
        ids.append(f"darklane {file.software.get('darklane', '')}")
    room = sheet.width - 2 * MARGIN
    note = (HEAT_NOTE if verdict is not None and verdict.saliency is not None else "") + FOOTNOTE
    for index, line in enumerate((note if file.has_images else "", "   ·   ".join(ids))):
        y = sheet.height - FOOTER + 20 + index * 30
        draw.text(
            (MARGIN, y), text.spell(text.fit(line, SMALL, room)), font=text.font(SMALL), fill=marks.MUTED, anchor="lm"
        )
