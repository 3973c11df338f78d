"""Text on the sheet. DejaVu Sans where the box has it; else Pillow's own font, which lacks a few symbols."""

from __future__ import annotations

from functools import lru_cache

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
_FACES = {False: "DejaVuSans.ttf", True: "DejaVuSans-Bold.ttf"}
#: What the built-in font does not have, in words that it has.
_PLAIN = {
    "τ": "tau", "Δ": "Delta ", "σ": "sigma", "Σ": "sum", "µ": "u", "²": "^2", "−": "–", "·": "–", "×": "x",
    "±": "+/–", "≥": ">=", "°": " deg", "→": "to", "▸": ">",
}  # fmt: skip


@lru_cache(maxsize=64)
def font(size: int, *, bold: bool = False) -> Font:
    """Scalable font of ``size`` pixels."""
    try:
        return ImageFont.truetype(_FACES[bold], size)
    except OSError:
        return ImageFont.load_default(size=size)


@lru_cache(maxsize=1)
def has_symbols() -> bool:
    """Whether the font has Greek letters and superscripts."""
    try:
        ImageFont.truetype(_FACES[False], 12)
    except OSError:
        return False
    return True


def spell(text: str) -> str:
    """``text`` as the available font can show it."""
    if has_symbols():
        return text
    return "".join(_PLAIN.get(character, character) for character in text)


def width(text: str, size: int, *, bold: bool = False) -> int:
    """Width of one line in pixels."""
    return round(font(size, bold=bold).getlength(spell(text)))


def fit(text: str, size: int, room: int, *, bold: bool = False) -> str:
    """``text`` cut with an ellipsis so that it is at most ``room`` pixels wide."""
    if width(text, size, bold=bold) <= room:
        return text
    while text and width(text + "…", size, bold=bold) > room:
        text = text[:-1]
    return text.rstrip() + "…"
