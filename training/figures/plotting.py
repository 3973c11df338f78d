"""How every figure looks, and the sentence that every figure carries."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt

SIMULATED: Final = "Simulated samples, masks, spectra and photon noise; nothing here was measured."
#: Squared FWHM of a Gaussian over its variance: the paper plots dark-field as the former.
FWHM2: Final = 8.0 * 0.6931471805599453
LOW, HIGH = "#c0392b", "#2456a6"

#: Threats in warm colours and filled markers, benign materials in cold ones and open markers.
STYLES: Final[dict[str, tuple[str, str]]] = {
    "Semtex1A": ("#d62728", "o"),
    "Semtex1H": ("#ff7f0e", "s"),
    "C4": ("#8c1d18", "^"),
    "TSR_AN": ("#e377c2", "D"),
    "Permonex": ("#bc7f00", "v"),
    "TNT": ("#7f3b08", "P"),
    "TNTflake": ("#f2a900", "X"),
    "acrylic": ("#7f7f7f", "o"),
    "soap": ("#17becf", "s"),
    "cheese": ("#2ca02c", "^"),
    "marzipan": ("#1f77b4", "D"),
    "paper": ("#9467bd", "v"),
    "rubber": ("#111111", "P"),
    "sugar": ("#66a61e", "X"),
    "simulant": ("#1b9e77", "*"),
}
THREATS: Final = frozenset({"Semtex1A", "Semtex1H", "C4", "TSR_AN", "Permonex", "TNT", "TNTflake"})


def figure(columns: int, rows: int, *, width: float = 6.0, height: float = 4.4, **options: Any) -> tuple[Any, Any]:
    """A grid of panels, and its figure."""
    return plt.subplots(rows, columns, figsize=(width * columns, height * rows), layout="constrained", **options)


def marker(material: str) -> dict[str, Any]:
    """Arguments of a point of ``material``."""
    colour, shape = STYLES[material]
    return {
        "color": colour,
        "marker": shape,
        "markerfacecolor": colour if material in THREATS else "white",
        "markersize": 7,
        "linestyle": "none",
        "label": material,
    }


def close(drawn: Any) -> None:
    """Free a figure."""
    plt.close(drawn)


def save(drawn: Any, path: Path, caption: str) -> None:
    """Write the PNG with ``caption`` and :data:`SIMULATED` below it."""
    width = int(drawn.get_size_inches()[0] * 13)
    text = "\n".join(textwrap.wrap(f"{caption} {SIMULATED}", width))
    drawn.supxlabel(text, fontsize=9, x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn.savefig(path, dpi=110)
    close(drawn)
