"""The pixel mask of the active calibration, read again only when another one becomes active."""

from __future__ import annotations

import logging
from pathlib import Path

from calibration.bundle import BundleError, load_active
from edge.readout.ports import ALL_PIXELS, PixelMask
from firmware_bridge.scanner import BINS, COLUMNS


class ActiveMask:
    """Callable: the mask for a bag that begins now. Without a usable calibration all pixels are summed.

    Retrieval then refuses the bag, because its slabs name no calibration; the raw sums are kept all the same.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder = folder
        self._shape = (len(BINS), rows, COLUMNS)
        self._pointer: str | None = None
        self._mask = ALL_PIXELS
        self._log = logging.getLogger("readout")

    def __call__(self) -> PixelMask:
        """Mask of the calibration that is active now."""
        try:
            pointer = (self._folder / "active").read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            pointer = ""
        if pointer != self._pointer:
            self._pointer = pointer
            self._mask = self._load()
        return self._mask

    def _load(self) -> PixelMask:
        try:
            bundle = load_active(self._folder)
        except (BundleError, OSError) as error:
            self._log.error("calibration cannot be used: %s", error)
            return ALL_PIXELS
        if bundle is None:
            self._log.warning("no calibration in %s; no bag will be cleared", self._folder)
            return ALL_PIXELS
        if bundle.good_pixels.shape != self._shape:
            self._log.error(
                "calibration %s has a pixel mask of %s, the detector sends %s; calibrate again",
                bundle.id,
                bundle.good_pixels.shape,
                self._shape,
            )
            return ALL_PIXELS
        self._log.info("calibration %s: %d pixels left out", bundle.id, int((bundle.good_pixels == 0).sum()))
        return PixelMask(bundle.id, bundle.good_pixels)
