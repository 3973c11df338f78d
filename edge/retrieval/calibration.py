"""Which calibration a bag is retrieved with, and whether it may be used."""

from __future__ import annotations

import time
from pathlib import Path

from calibration.bundle import Bundle, BundleError, load, load_active
from edge.messages import Slab
from firmware_bridge.scanner import BINS, COLUMNS, Scanner


class UnusableError(ValueError):
    """No calibration may be used for this bag; the message says why and what to do."""


class CalibrationStore:
    """The calibration folder of one lane; reads a file only when the bundle changes."""

    def __init__(self, folder: Path, scanner: Scanner, max_age_h: float) -> None:
        self.folder = folder
        self._scanner = scanner
        self._scanner_json = scanner.model_dump_json()
        self._max_age_h = max_age_h
        self._cached: tuple[str, Bundle] | None = None

    def for_bag(self, slab: Slab) -> Bundle:
        """The bundle for the bag that ``slab`` opens; :class:`UnusableError` when there is none that fits it.

        It must be the one whose pixel mask the readout applied: sums and flat have to leave out the same pixels.
        Its age counts up to the scan, so a replayed bag is judged as it was on its day.
        """
        try:
            bundle = self._active()
            if bundle is None:
                raise UnusableError(f"no calibration in {self.folder}; run 'darklane calibrate'")
            if slab.calibration_id != bundle.id:
                bundle = self._named(slab.calibration_id)
        except BundleError as error:
            raise UnusableError(str(error)) from error
        scanned_ns = slab.first_frame_t_ns or time.time_ns()
        state = bundle.state(self._max_age_h, self._scanner_json, min(scanned_ns, time.time_ns()))
        if state == "INVALID":
            raise UnusableError(f"{bundle.id} was made for other [scanner] settings; run 'darklane calibrate'")
        if state != "CALIBRATED":
            raise UnusableError(
                f"{bundle.id} is not {self._max_age_h:g} h young (calibration.max_age_h); run 'darklane calibrate'"
            )
        expected = (len(BINS), slab.rows, COLUMNS)
        if bundle.flat.shape != expected:
            raise UnusableError(f"{bundle.id}: flat {bundle.flat.shape}, the slab needs {expected}; calibrate again")
        return bundle

    def _active(self) -> Bundle | None:
        pointer = self.folder / "active"
        name = pointer.read_text(encoding="ascii", errors="replace").strip() if pointer.is_file() else ""
        if self._cached is None or self._cached[0] != name or not name:
            bundle = load_active(self.folder)
            self._cached = None if bundle is None else (name, bundle)
        return self._cached[1] if self._cached else None

    def _named(self, bundle_id: str) -> Bundle:
        """A bundle that is no longer active: a bag begun before a calibration, or a replayed one."""
        if not bundle_id:
            raise UnusableError("the readout had no calibration and so no pixel mask; it will with the next bag")
        path = self.folder / f"{bundle_id}.h5"
        if not (bundle_id.startswith("cal-") and bundle_id[4:].isalnum()) or not path.is_file():
            raise UnusableError(f"the slab was summed with calibration {bundle_id:.40}, which is not in {self.folder}")
        return load(path)
