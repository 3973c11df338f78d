"""The 36 materials and what x-rays meet in them, read from the committed tables (data/make_tables.py made them)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Literal

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
MaterialClass = Literal["threat", "benign", "clutter"]

#: δ(E) = DELTA · electron density [mol/cm³] / E² [keV²]: r_e λ² N_A / 2π in these units.
DELTA = 4.1517e-4
#: Attenuation curves of all materials are sums of this many functions of energy (to 1e-3, tested).
BASIS = 6


@dataclass(frozen=True, eq=False)
class Material:
    """One material; grains follow physics.md section 3.

    ``mu_per_mm``: linear attenuation on :func:`energies_kev`, 1/mm. ``electrons``: mol/cm³. ``grain_contrast``:
    electron-density difference between grain and matrix, mol/cm³ (0: homogeneous). ``grain_um``: diameter D.
    """

    name: str
    kind: MaterialClass
    density: float
    grain_fraction: float
    grain_um: float
    grain_contrast: float
    electrons: float
    mu_per_mm: F64

    def scatter_per_mm(self, lever_um_per_urad: float) -> float:
        """3 f Δδ² Λ² E⁴/D without the logarithm: τ² in µm² per mm of material, times keV⁴."""
        contrast = DELTA * self.grain_contrast * 1e6  # µrad keV²
        return 3.0 * self.grain_fraction * (contrast * lever_um_per_urad) ** 2 * 1e3 / self.grain_um


def _rows(name: str) -> list[dict[str, str]]:
    text = (resources.files(__package__) / "data" / name).read_text(encoding="ascii")
    return list(csv.DictReader(text.splitlines()))


def table(name: str) -> dict[str, F64]:
    """Columns of one numeric CSV table of ``data/``, by name."""
    rows = _rows(name)
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]}


def energies_kev() -> F64:
    """Energy grid of all tables, keV."""
    return table("spectra.csv")["energy_kev"]


@lru_cache(maxsize=1)
def all_materials() -> dict[str, Material]:
    """Every material by name, in the order of the table."""
    attenuation = table("attenuation.csv")
    electrons = {row["name"]: float(row["electrons_mol_cm3"]) for row in _rows("electrons.csv")}
    known: dict[str, Material] = {}
    for row in _rows("materials.csv"):
        name = row["name"]
        kind = row["class"]
        if kind not in ("threat", "benign", "clutter"):
            raise ValueError(f"materials.csv: class {kind!r} of {name}; use threat, benign or clutter")
        known[name] = Material(
            name=name,
            kind=kind,  # type: ignore[arg-type]
            density=float(row["density_g_cm3"]),
            grain_fraction=float(row["grain_fraction"]),
            grain_um=float(row["grain_um"]),
            grain_contrast=float(row["grain_contrast_mol_e_cm3"]),
            electrons=electrons[name],
            mu_per_mm=attenuation[name] / 10.0,
        )
    return known


def material(name: str) -> Material:
    """Return one material; ValueError lists the known names."""
    known = all_materials()
    if name not in known:
        raise ValueError(f"material {name!r} is not in the table; use one of {', '.join(known)}")
    return known[name]


def names(kind: MaterialClass) -> tuple[str, ...]:
    """Names of the materials of one class, in the order of the table."""
    return tuple(m.name for m in all_materials().values() if m.kind == kind)


@lru_cache(maxsize=1)
def attenuation_basis() -> tuple[F64, dict[str, F64]]:
    """Functions of energy (n_energies, BASIS), and each material's coefficients (BASIS,) per mm.

    A scene then needs BASIS maps instead of one per material. Singular-value decomposition of the curves, each
    scaled to unit mean so that light materials are met as well as metals.
    """
    known = all_materials()
    select = energies_kev() >= 15.0  # below, nothing is detected
    curves = np.stack([m.mu_per_mm for m in known.values()])
    size = curves[:, select].mean(axis=1, keepdims=True)
    _, _, vectors = np.linalg.svd((curves / size)[:, select], full_matrices=False)
    basis = np.zeros((curves.shape[1], BASIS))
    basis[select] = vectors[:BASIS].T
    coefficients = curves @ basis
    return basis, {name: coefficients[i] for i, name in enumerate(known)}
