"""A calibration bundle: everything the lane measured about its scanner, immutable, named by its content."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import numpy.typing as npt

from kernels.types import IlluminationCurves, OffsetPrior

#: Raised whenever a stored field changes its meaning.
FORMAT = "darklane-calibration/1"
State = Literal["UNCALIBRATED", "CALIBRATED", "EXPIRED", "INVALID"]


class BundleError(ValueError):
    """A bundle cannot be used; the message names the file, the field and what to do."""


@dataclass(frozen=True)
class Bundle:
    """One calibration.

    ``flat``: (2, rows, columns) float32, mean counts per frame and pixel in air at the working point.
    ``good_pixels``: (2, rows, columns) uint8, 0 where a pixel must not be used.
    ``curves``: equation (1) in the wrapped three-Gaussian form; ``curves_paper``: as printed.
    """

    curves: IlluminationCurves
    curves_paper: IlluminationCurves
    flat: npt.NDArray[np.float32]
    good_pixels: npt.NDArray[np.uint8]
    prior: OffsetPrior
    working_point_um: float
    scanner_json: str
    created_ns: int
    software: str

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        fields: dict[str, npt.NDArray[np.generic]] = {}
        for group, curves in (("curves", self.curves), ("curves_paper", self.curves_paper)):
            for name in ("area", "centre", "width", "floor"):
                fields[f"{group}/{name}"] = getattr(curves, name)
        fields |= {
            "flat": self.flat,
            "good_pixels": self.good_pixels,
            "prior/coefficients": self.prior.coefficients,
            "prior/sd": self.prior.sd,
        }
        return fields

    def _attributes(self) -> dict[str, str | int | float]:
        return {
            "format": FORMAT,
            "working_point_um": self.working_point_um,
            "scanner": self.scanner_json,
            "created_ns": self.created_ns,
            "software": self.software,
        }

    @property
    def id(self) -> str:
        """``cal-`` and the first 16 hex digits of the SHA-256 over every field."""
        digest = hashlib.sha256()
        for key, value in sorted(self._attributes().items()):
            digest.update(f"{key}={value!r}\n".encode())
        for key, array in sorted(self._arrays().items()):
            digest.update(f"{key}:{array.dtype.str}{array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return f"cal-{digest.hexdigest()[:16]}"

    def state(self, max_age_h: float, scanner_json: str, now_ns: int | None = None) -> State:
        """CALIBRATED, EXPIRED by age, or INVALID when it was made for another scanner set-up."""
        now_ns = time.time_ns() if now_ns is None else now_ns
        if scanner_json != self.scanner_json:
            return "INVALID"
        age_h = (now_ns - self.created_ns) / 3.6e12
        return "CALIBRATED" if 0 <= age_h <= max_age_h else "EXPIRED"

    def save(self, folder: Path) -> Path:
        """Write ``<folder>/<id>.h5`` atomically and make it the active one. Returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.id}.h5"
        part = path.with_suffix(".part")
        with h5py.File(part, "w") as file:
            for key, value in self._attributes().items():
                file.attrs[key] = value
            file.attrs["id"] = self.id
            for key, array in self._arrays().items():
                file.create_dataset(key, data=array)
        with part.open("rb") as handle:
            os.fsync(handle.fileno())
        part.replace(path)
        activate(folder, self.id)
        return path


def activate(folder: Path, bundle_id: str) -> None:
    """Point ``<folder>/active`` at ``bundle_id``, atomically."""
    if not (folder / f"{bundle_id}.h5").is_file():
        raise BundleError(f"calibration {bundle_id} is not in {folder}; run 'darklane calibrate' first")
    part = folder / "active.part"
    part.write_text(bundle_id, encoding="ascii")
    part.replace(folder / "active")


def load(path: Path) -> Bundle:
    """Read one bundle; :class:`BundleError` when it is damaged, altered or of another format."""
    try:
        with h5py.File(path, "r") as file:
            attributes = dict(file.attrs)
            if attributes.get("format") != FORMAT:
                raise BundleError(f"{path}: format {attributes.get('format')!r}, expected {FORMAT!r}; calibrate again")

            def curves(group: str) -> IlluminationCurves:
                return IlluminationCurves(*(file[f"{group}/{n}"][()] for n in ("area", "centre", "width", "floor")))

            bundle = Bundle(
                curves=curves("curves"),
                curves_paper=curves("curves_paper"),
                flat=file["flat"][()],
                good_pixels=file["good_pixels"][()],
                prior=OffsetPrior(file["prior/coefficients"][()], file["prior/sd"][()]),
                working_point_um=float(attributes["working_point_um"]),
                scanner_json=str(attributes["scanner"]),
                created_ns=int(attributes["created_ns"]),
                software=str(attributes["software"]),
            )
    except BundleError:
        raise
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: cannot be read as a calibration bundle ({error}); calibrate again") from error
    if bundle.id != attributes.get("id"):
        raise BundleError(f"{path}: content hashes to {bundle.id}, but it says {attributes.get('id')}; it was altered")
    return bundle


def load_active(folder: Path) -> Bundle | None:
    """The active bundle of ``folder``, or None when nothing was ever activated."""
    pointer = folder / "active"
    if not pointer.is_file():
        return None
    name = pointer.read_text(encoding="ascii").strip()
    if not name.startswith("cal-") or not name[4:].isalnum():
        raise BundleError(f"{pointer}: {name!r:.60} is not a calibration id; activate one again")
    return load(folder / f"{name}.h5")
