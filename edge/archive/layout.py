"""What lies where in a bag's HDF5 file. The file format is documented in docs/reference/archive.md."""

from __future__ import annotations

from dataclasses import dataclass

from edge.messages import CHANNELS

#: Raised whenever a stored field changes its meaning.
FORMAT = "darklane-bag/1"
SUFFIX = ".h5"
PART_SUFFIX = ".h5.part"
SHEET_SUFFIX = ".png"

#: Values of the root attribute ``provenance``.
MEASURED = "scanner"
EMULATED = "emulated scanner"

SUMS = "phase_sums/sums"
WEIGHTS = "phase_sums/weights"
WEIGHTS_SQ = "phase_sums/weights_sq"
SLAB_HEADERS = "phase_sums/slab_headers"
IMAGE_HEADERS = "image_headers"
FLAGS = "flags"
VERDICT = "verdict"
SUPPLEMENTS = "supplements"
SCANNER = "description/scanner"
LANE = "description/lane"
SOFTWARE = "description/software"

#: A bag's grid cannot be longer: 20 m at 300 µm. Guards against a corrupt header.
MAX_COLUMNS = 1 << 16


@dataclass(frozen=True)
class Channel:
    """One retrieved quantity: dataset name below ``images/`` and ``sigma/``, unit, words for people."""

    name: str
    unit: str
    meaning: str


IMAGE_CHANNELS: tuple[Channel, ...] = tuple(
    Channel(name, unit, meaning)
    for name, (unit, meaning) in zip(
        CHANNELS,
        (
            ("1", "transmission t of the sample; 1 is air"),
            ("µm", "refraction Δ: shift of the illumination curve at the sample mask"),
            ("µm²", "dark-field τ²: added variance of the illumination curve; FWHM² = 8 ln2 τ²"),
            ("1", "offset o: transmission of the part of the beam that crosses the septa"),
        ),
        strict=True,
    )
)


def image(channel: str) -> str:
    """Dataset of one channel's image, (bin, row, column) float32."""
    return f"images/{channel}"


def sigma(channel: str) -> str:
    """Dataset of one channel's 1-σ uncertainty, (bin, row, column) float32."""
    return f"sigma/{channel}"
