"""What one detector frame looks like as a SPEAD heap: the one table that detector, driver and emulator share.

One heap is one frame; the heap counter equals the frame number, so even a heap whose first packet is lost
can be named. All scalar items are 8-byte little-endian integers in the payload: none of them is ever
squeezed into SPEAD's 48-bit immediates, and a reader needs one rule for all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import spead2

from firmware_bridge.scanner import BINS, COLUMNS

#: Raised whenever an item changes its meaning; sent in every frame.
STREAM_VERSION: Final = 1
#: SPEAD-64-48: 48-bit heap addresses.
FLAVOUR: Final = spead2.Flavour(4, 64, 48)
COUNTS_DTYPE: Final = "<u2"
SCALAR_DTYPE: Final = "<i8"
#: UDP payload of one packet: fits a 9000-byte MTU with its headers.
PACKET_BYTES: Final = 8900
#: The same for a network with an MTU of 1500 bytes: less 20 bytes of IPv4 and 8 of UDP.
PACKET_BYTES_MTU_1500: Final = 1472


@dataclass(frozen=True)
class ItemSpec:
    """One SPEAD item: its id, its name, what it means, and its shape (scalars are int64)."""

    id: int
    name: str
    description: str
    shape: tuple[int, ...] = ()


FRAME_NUMBER: Final = ItemSpec(
    0x1001, "frame_number", "counts exposures since the detector started; equals the heap counter"
)
EXPOSURE_START: Final = ItemSpec(0x1002, "exposure_start", "start of the exposure, ns since 1970-01-01 UTC")
EXPOSURE_TIME: Final = ItemSpec(0x1003, "exposure_time", "length of the exposure, ns")
ENCODER_START: Final = ItemSpec(0x1004, "encoder_start", "belt encoder at the start of the exposure, counts")
ENCODER_STOP: Final = ItemSpec(0x1005, "encoder_stop", "belt encoder at the end of the exposure, counts")
THRESHOLDS: Final = ItemSpec(0x1006, "thresholds", "energy thresholds T1 and T2, eV", (len(BINS),))
FIRMWARE: Final = ItemSpec(0x1007, "firmware", "detector firmware, major << 16 | minor << 8 | patch")
VERSION: Final = ItemSpec(0x1008, "stream_version", "version of this table")

SCALARS: Final = (
    FRAME_NUMBER,
    EXPOSURE_START,
    EXPOSURE_TIME,
    ENCODER_START,
    ENCODER_STOP,
    THRESHOLDS,
    FIRMWARE,
    VERSION,
)
COUNTS_ID: Final = 0x1000


def counts_spec(rows: int) -> ItemSpec:
    """The counts item of a detector with ``rows`` rows after binning: uint16 (bin, row, column)."""
    return ItemSpec(COUNTS_ID, "counts", "photon counts, bins low and high", (len(BINS), rows, COLUMNS))


def counts_bytes(rows: int) -> int:
    """Payload of the counts item, bytes."""
    return len(BINS) * rows * COLUMNS * 2


def firmware_text(word: int) -> str:
    """``1.2.3`` for the packed firmware word of the stream."""
    return f"{word >> 16}.{(word >> 8) & 0xFF}.{word & 0xFF}"


def firmware_word(major: int, minor: int, patch: int) -> int:
    """Inverse of :func:`firmware_text`."""
    return major << 16 | minor << 8 | patch
