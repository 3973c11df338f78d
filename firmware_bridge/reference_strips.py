"""Drawings of the strips that ``darklane calibrate --full`` scans: blocks of known material side by side on the belt.

Like the reference tray, they are real things in a drawer. ``wedges``: harmless materials, each in steps; they give the
thickness linearisation. ``samples``: one thickness of each material that is told apart. ``phantom``: materials of none
of the other two, for the verification; its true values are in its certificate, never here. All blocks are as high as
the field.
"""

from __future__ import annotations

from typing import Final

#: Free belt before the first and after the last block, and the length of one block along the belt, mm.
EDGE_MM: Final = 3.0
BLOCK_MM: Final = 8.0
#: Step heights of the paper's containers, mm.
WEDGE_STEPS_MM: Final = (2.5, 5.0, 7.5, 10.0, 15.0, 20.0, 27.5, 37.5)
#: Strong and weak scatterers, light and heavy.
WEDGE_MATERIALS: Final = ("paper", "soap", "rubber", "simulant")
SAMPLE_MM: Final = 20.0
SAMPLE_MATERIALS: Final = (
    "Semtex1A", "Semtex1H", "C4", "TSR_AN", "Permonex", "TNT", "TNTflake",
    "soap", "marzipan", "paper", "rubber", "sugar", "simulant",
)  # fmt: skip
#: Transmissions stay within those of the reference tray: beyond them the offset prior is extrapolated.
PHANTOM_STEPS_MM: Final = (5.0, 10.0, 20.0, 30.0)
PHANTOM_MATERIALS: Final = ("PET", "cheese", "toothpaste", "paracetamol", "leather")
#: Blocks (material, mm) of each strip, the leading one first.
STRIPS: Final[dict[str, tuple[tuple[str, float], ...]]] = {
    "wedges": tuple((name, step) for name in WEDGE_MATERIALS for step in WEDGE_STEPS_MM),
    "samples": tuple((name, SAMPLE_MM) for name in SAMPLE_MATERIALS),
    "phantom": tuple((name, step) for name in PHANTOM_MATERIALS for step in PHANTOM_STEPS_MM),
}


def block_mm(index: int) -> tuple[float, float]:
    """Where block ``index`` begins and ends, mm from the leading edge."""
    return EDGE_MM + index * BLOCK_MM, EDGE_MM + (index + 1) * BLOCK_MM


def length_mm(strip: str) -> float:
    """Length of the strip along the belt, mm."""
    return block_mm(len(STRIPS[strip]) - 1)[1] + EDGE_MM
