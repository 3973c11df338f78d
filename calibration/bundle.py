"""A calibration bundle: everything the lane measured about its scanner, immutable, signed, named by its content."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import h5py
import numpy as np
import numpy.typing as npt

from calibration.activation import Pointer, settle, write_text
from calibration.linearity import Linearisation
from calibration.manifest import Manifest
from calibration.signing import KeyStore, SignatureError
from kernels.types import IlluminationCurves, OffsetPrior

#: Raised whenever a stored field changes its meaning.
FORMAT = "darklane-calibration/2"
#: Folder of the keys, below that of the bundles.
KEYS = "keys"
State = Literal["UNCALIBRATED", "CALIBRATED", "EXPIRED", "INVALID"]


class BundleError(ValueError):
    """A bundle cannot be used; the message names the file, the field and what to do."""


@dataclass(frozen=True)
class References:
    """Reference samples in the ratio space: linearised −ln t, τ², −ln o (3, 2 bins, n) of the material of each name."""

    names: tuple[str, ...]
    signals: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bundle:
    """One calibration; ``linearisation`` and ``references`` when it was a full one.

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
    manifest: Manifest = field(default_factory=Manifest)
    linearisation: Linearisation | None = None
    references: References | None = None

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
        # Only what a full calibration measured: a bundle without keeps the digest that it always had.
        if self.linearisation is not None:
            fields["linearisation/coefficients"] = self.linearisation.coefficients
            fields["linearisation/limit"] = self.linearisation.limit
        if self.references is not None:
            fields["references/names"] = np.asarray(self.references.names, dtype="S32")
            fields["references/signals"] = self.references.signals
        return fields

    def _attributes(self) -> dict[str, str | int | float]:
        return {
            "format": FORMAT,
            "working_point_um": self.working_point_um,
            "scanner": self.scanner_json,
            "created_ns": self.created_ns,
            "software": self.software,
            "manifest": self.manifest.canonical(),
        }

    @property
    def digest(self) -> str:
        """SHA-256 over every field, hexadecimal; the same content gives the same digest."""
        digest = hashlib.sha256()
        for key, value in sorted(self._attributes().items()):
            digest.update(f"{key}={value!r}\n".encode())
        for key, array in sorted(self._arrays().items()):
            digest.update(f"{key}:{array.dtype.str}{array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def id(self) -> str:
        """``cal-`` and the first 16 digits of :attr:`digest`."""
        return f"cal-{self.digest[:16]}"

    def state(self, max_age_h: float, scanner_json: str, now_ns: int | None = None) -> State:
        """CALIBRATED, EXPIRED by age, or INVALID when it was made for another scanner set-up."""
        now_ns = time.time_ns() if now_ns is None else now_ns
        if scanner_json != self.scanner_json:
            return "INVALID"
        age_h = (now_ns - self.created_ns) / 3.6e12
        return "CALIBRATED" if 0 <= age_h <= max_age_h else "EXPIRED"

    def save(self, folder: Path) -> Path:
        """Write and sign ``<folder>/<id>.h5``, make it the active one, return its path."""
        path = self.store(folder)
        activate(folder, self.id)
        return path

    def store(self, folder: Path) -> Path:
        """Write ``<folder>/<id>.h5`` and its signature; what was active stays so. Returns its path."""
        folder.mkdir(parents=True, exist_ok=True)
        bundle_id, digest = self.id, self.digest
        path = folder / f"{bundle_id}.h5"
        part = path.with_suffix(".part")
        with h5py.File(part, "w") as file:
            for key, value in self._attributes().items():
                file.attrs[key] = value
            file.attrs["id"] = bundle_id
            for key, array in self._arrays().items():
                file.create_dataset(key, data=array)
        write_text(path.with_suffix(".sig"), KeyStore(folder / KEYS).sign(digest))
        settle(part, path)
        return path


def activate(folder: Path, bundle_id: str) -> None:
    """Point ``<folder>/active`` at ``bundle_id``, atomically; the next bag is scanned with it.

    Every activation is also a line of ``<folder>/activations.log``: time in ns, id. Raises :class:`BundleError` for a
    bundle that is not there.
    """
    if not (folder / f"{bundle_id}.h5").is_file():
        raise BundleError(f"calibration {bundle_id} is not in {folder}; run 'darklane calibrate' first")
    Pointer(folder).set(bundle_id)


def load(path: Path) -> Bundle:
    """Read one bundle; :class:`BundleError` when it is damaged, altered, of another format, or not signed.

    The signature is in ``<id>.sig`` beside it and must be of a key that ``<folder>/keys/trusted`` holds.
    """
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
                manifest=Manifest.model_validate_json(attributes["manifest"]),
                linearisation=_linearisation(file),
                references=_references(file),
            )
    except BundleError:
        raise
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: cannot be read as a calibration bundle ({error}); calibrate again") from error
    if bundle.id != attributes.get("id"):
        raise BundleError(f"{path}: content hashes to {bundle.id}, but it says {attributes.get('id')}; it was altered")
    try:
        KeyStore(path.parent / KEYS).check(str(path), bundle.digest, path.with_suffix(".sig"))
    except SignatureError as error:
        raise BundleError(str(error)) from error
    return bundle


def _linearisation(file: h5py.File) -> Linearisation | None:
    if "linearisation" not in file:
        return None
    return Linearisation(file["linearisation/coefficients"][()], file["linearisation/limit"][()])


def _references(file: h5py.File) -> References | None:
    if "references" not in file:
        return None
    names = tuple(bytes(name).decode("ascii") for name in file["references/names"][()])
    return References(names, file["references/signals"][()])


def load_active(folder: Path) -> Bundle | None:
    """The active bundle of ``folder``, or None when nothing was ever activated."""
    name = Pointer(folder).get()
    if not name:
        return None
    if not name.startswith("cal-") or not name[4:].isalnum():
        raise BundleError(f"{Pointer(folder).path}: {name!r:.60} is not a calibration id; activate one again")
    return load(folder / f"{name}.h5")
