"""Make the emulator's tables: ``spectra.csv`` and ``attenuation.csv`` from spekpy and xraylib, checked with xraydb.

Run with the extra ``tables`` installed: ``python -m firmware_bridge.emulator.data.make_tables``. The runtime reads
only the CSV files. ``materials.csv`` is written by hand; its compositions are assumptions, tuned until attenuation
and electron density agreed with the design's table of materials. The response model is an assumption as well.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import spekpy
import xraydb
import xraylib
from scipy.stats import norm

Array = npt.NDArray[np.float64]
HERE = Path(__file__).parent

ENERGIES = np.arange(10.0, 121.0)  # keV
#: Tube voltage kVp → thresholds T1, T2 in keV.
THRESHOLDS = {80: (20.0, 40.0), 120: (20.0, 50.0)}
ANODE_DEG = 13.0
DISTANCE_CM = 205.1
FILTERS_MM = (("Al", 1.0), ("C", 1.0), ("Air", 2051.0))
PIXEL_CM2 = 1e-4
CDTE_CM, CDTE_DENSITY = 0.075, 5.85
RESPONSE_FWHM_KEV = 7.0
CHARGE_SHARE_PLATEAU = 0.33
#: Effective gold of the septa: nominally 200 µm; a little less because slits are never plated perfectly.
GOLD_CM, GOLD_DENSITY = 0.0194, 19.32
#: xraylib follows Elam's tabulation; Chantler's (from xraydb) must agree this well from 20 keV up.
CROSS_CHECK = 0.05


def mass_attenuation(parts: dict[int, float], energies: Array) -> Array:
    """µ/ρ in cm²/g of a mixture given as {Z: mass fraction}, all interactions included."""
    return np.array([sum(f * xraylib.CS_Total(z, e) for z, f in parts.items()) for e in energies])


def elements(recipe: str) -> dict[int, float]:
    """Mass fractions by element of a recipe such as ``91 C3H6N6O6 + 9 C4H8`` (parts by mass)."""
    total: dict[int, float] = {}
    terms = [term.split() for term in recipe.split(" + ")]
    whole = sum(float(weight) for weight, _ in terms)
    for weight, formula in terms:
        parsed = xraylib.CompoundParser(formula)
        for z, fraction in zip(parsed["Elements"], parsed["massFractions"], strict=True):
            total[z] = total.get(z, 0.0) + float(weight) / whole * fraction
    return total


def detected(tube_kv: int) -> tuple[Array, Array]:
    """Counts per pixel, mAs and keV of the open beam in the bins (low, high) on ENERGIES."""
    spectrum = spekpy.Spek(kvp=tube_kv, th=ANODE_DEG, dk=1.0, z=DISTANCE_CM, mas=1.0)
    for material, thickness in FILTERS_MM:
        spectrum.filter(material, thickness)
    energy, fluence = spectrum.get_spectrum(edges=False)
    cdte = elements("1 CdTe")
    stopped = 1.0 - np.exp(
        -CDTE_CM * CDTE_DENSITY * np.array([sum(f * xraylib.CS_Photo(z, e) for z, f in cdte.items()) for e in energy])
    )
    absorbed = fluence * PIXEL_CM2 * stopped
    low, high = THRESHOLDS[tube_kv]
    sigma = RESPONSE_FWHM_KEV / 2.3548

    def above(threshold: float) -> Array:
        peak = norm.sf((threshold - energy) / sigma)
        plateau = np.clip(1.0 - threshold / energy, 0.0, 1.0)
        return np.asarray((1.0 - CHARGE_SHARE_PLATEAU) * peak + CHARGE_SHARE_PLATEAU * plateau)

    bins = (absorbed * (above(low) - above(high)), absorbed * above(high))
    in_low, in_high = (np.interp(ENERGIES, energy, b, left=0.0, right=0.0) for b in bins)
    return in_low, in_high


def cross_check(name: str, parts: dict[int, float], table: Array) -> float:
    """Largest relative difference between Chantler's tabulation (xraydb) and ``table`` from 20 keV up.

    Chantler tabulates photoabsorption; coherent and incoherent scattering come from Waasmaier and Hubbell (xraydb).
    """
    select = ENERGIES >= 20.0
    ev = ENERGIES * 1e3
    other = np.zeros_like(ENERGIES)
    for z, f in parts.items():
        symbol = xraylib.AtomicNumberToSymbol(z)
        scattered = xraydb.coherent_cross_section_elam(symbol, ev) + xraydb.incoherent_cross_section_elam(symbol, ev)
        other += f * (xraydb.mu_chantler(symbol, ev, photo=True) + scattered)
    worst = float(np.max(np.abs(other / table - 1.0)[select]))
    if worst > CROSS_CHECK:
        raise SystemExit(f"{name}: Chantler and xraylib differ by {worst:.1%}; check the composition in materials.csv")
    return worst


def write(path: Path, header: list[str], columns: list[Array]) -> None:
    """Write columns beside ENERGIES with five significant digits."""
    with path.open("w", newline="", encoding="ascii") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(["energy_kev", *header])
        for i, energy in enumerate(ENERGIES):
            writer.writerow([f"{energy:g}", *(f"{column[i]:.5g}" for column in columns)])


def main() -> None:
    """Write both tables beside this file and report the cross-check."""
    names, columns = [], []
    for tube_kv in THRESHOLDS:
        for bin_name, column in zip(("low", "high"), detected(tube_kv), strict=True):
            names.append(f"{bin_name}_{tube_kv}")
            columns.append(column)
    gold = np.exp(-GOLD_CM * GOLD_DENSITY * mass_attenuation({79: 1.0}, ENERGIES))
    write(HERE / "spectra.csv", [*names, "septum"], [*columns, gold])

    names, columns, worst = [], [], ("", 0.0)
    electrons = []
    with (HERE / "materials.csv").open(encoding="ascii") as handle:
        for row in csv.DictReader(handle):
            parts = elements(row["composition_by_mass"])
            table = mass_attenuation(parts, ENERGIES)
            difference = cross_check(row["name"], parts, table)
            worst = max(worst, (row["name"], difference), key=lambda item: item[1])
            density = float(row["density_g_cm3"])
            names.append(row["name"])
            columns.append(density * table)
            electrons.append(density * sum(f * z / xraylib.AtomicWeight(z) for z, f in parts.items()))
    write(HERE / "attenuation.csv", names, columns)
    with (HERE / "electrons.csv").open("w", encoding="ascii") as handle:
        handle.write("name,electrons_mol_cm3\n")
        handle.writelines(f"{name},{value:.6g}\n" for name, value in zip(names, electrons, strict=True))
    sys.stdout.write(f"{len(names)} materials; Chantler and xraylib differ by at most {worst[1]:.1%} ({worst[0]})\n")


if __name__ == "__main__":
    main()
