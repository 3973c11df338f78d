"""The calibration folder of a lane: which bundles are there, which was active when, and how two of them differ."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from calibration.activation import Pointer
from calibration.bundle import Bundle, BundleError, State, load, load_active
from kernels import predict_offset

#: Transmissions over which two offset priors are compared, per bin.
_TRANSMISSIONS = np.stack([np.linspace(0.05, 0.95, 10)] * 2)


@dataclass(frozen=True)
class Entry:
    """One file of the folder. ``bundle`` is None when it may not be used; ``error`` then says why."""

    id: str
    bundle: Bundle | None
    error: str = ""

    def state(self, max_age_h: float, scanner_json: str, now_ns: int | None = None) -> State:
        """State that the lane would be in with this bundle."""
        return self.bundle.state(max_age_h, scanner_json, now_ns) if self.bundle else "INVALID"


def entries(folder: Path) -> list[Entry]:
    """Every bundle of ``folder``, the oldest first; unusable ones last."""
    found = []
    for path in sorted(folder.glob("cal-*.h5")):
        try:
            found.append(Entry(path.stem, load(path)))
        except BundleError as error:
            found.append(Entry(path.stem, None, str(error)))
    return sorted(found, key=lambda e: (e.bundle is None, e.bundle.created_ns if e.bundle else 0, e.id))


def find(folder: Path, name: str) -> Bundle:
    """The bundle whose id begins with ``name``, or the active one for ``active``; :class:`BundleError` otherwise."""
    if name == "active":
        bundle = load_active(folder)
        if bundle is None:
            raise BundleError(f"no calibration is active in {folder}; run 'darklane calibrate'")
        return bundle
    matches = [p for p in sorted(folder.glob("cal-*.h5")) if p.stem.startswith(name) or p.stem[4:].startswith(name)]
    if len(matches) != 1:
        known = ", ".join(p.stem for p in sorted(folder.glob("cal-*.h5"))) or "none"
        raise BundleError(f"{name!r:.60} names {len(matches)} calibrations of {folder}; there are: {known}")
    return load(matches[0])


def active_id(folder: Path) -> str:
    """Id that ``<folder>/active`` holds, unchecked; empty when nothing was activated."""
    return Pointer(folder).get()


def history(folder: Path) -> list[tuple[int, str]]:
    """Every activation, the oldest first: (time in ns since 1970, id). A torn last line is left out."""
    return Pointer(folder).history()


def previous(folder: Path) -> str:
    """Id that was active before the present one; :class:`BundleError` when there was none."""
    before = Pointer(folder).previous()
    if not before:
        raise BundleError(
            f"no other calibration was active before {active_id(folder) or 'now'} in {folder}; nothing to go back to"
        )
    return before


def differences(before: Bundle, after: Bundle) -> dict[str, float]:
    """How far two calibrations of one scanner lie apart: medians over rows of what moved, and counts of pixels.

    ValueError when their arrays have other sizes.
    """
    if before.flat.shape != after.flat.shape:
        raise ValueError(
            f"{before.id} has {before.flat.shape} pixels, {after.id} {after.flat.shape}; nothing to compare"
        )
    moved = after.curves.centre.astype(np.float64) - before.curves.centre
    both = (before.good_pixels * after.good_pixels).astype(bool)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(both & (before.flat > 0), after.flat / before.flat, np.nan)
    prior = predict_offset(after.prior, _TRANSMISSIONS) - predict_offset(before.prior, _TRANSMISSIONS)
    return {
        "hours between": (after.created_ns - before.created_ns) / 3.6e12,
        "working point, µm": after.working_point_um - before.working_point_um,
        "curve centres, median, µm": float(np.median(moved)),
        "curve centres, largest, µm": float(np.abs(moved).max()),
        "curve widths, median, µm": float(np.median(after.curves.width - before.curves.width)),
        "floor, median ratio": float(np.median(after.curves.floor / np.maximum(before.curves.floor, 1e-12))),
        "flat, median ratio, low": float(np.nanmedian(ratio[0])),
        "flat, median ratio, high": float(np.nanmedian(ratio[1])),
        "offset prior, largest": float(np.abs(prior).max()),
        "pixels newly bad": float(((before.good_pixels == 1) & (after.good_pixels == 0)).sum()),
        "pixels good again": float(((before.good_pixels == 0) & (after.good_pixels == 1)).sum()),
    }
