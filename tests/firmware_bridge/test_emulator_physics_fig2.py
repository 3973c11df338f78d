"""The paper's Fig. 2 in the simulated scanner: which of its materials separate, and what the second bin adds.

Properties of the model, not evidence about real materials.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from tests.firmware_bridge.test_emulator_physics import slab, small

#: Fig. 2 (a), (b): 5 mm containers.
THREATS = ("Semtex1A", "Semtex1H", "TSR_AN", "C4")
BENIGN = ("acrylic", "soap", "cheese", "marzipan", "paper")
THICKNESS_MM = 5.0
#: 1-σ of one pixel at 1e4 counts with o known (Cramér–Rao table of physics.md, x0 = −5 µm).
SD_T, SD_TAU2 = 0.014, 4.9
#: A container of 30 × 30 mm on the 300 µm grid.
REGION_PIXELS = 10_000


def separations() -> dict[tuple[str, str], float]:
    """Distance of each threat from each benign material in (t, τ²) of the low bin, in 1-σ of a pixel."""
    scanner = small(80)
    low = {name: slab(scanner, name, THICKNESS_MM)[0] for name in THREATS + BENIGN}
    return {
        (a, b): float(np.hypot((low[a][0] - low[b][0]) / SD_T, (low[a][2] - low[b][2]) / SD_TAU2))
        for a, b in product(THREATS, BENIGN)
    }


def test_one_pair_is_ambiguous_in_one_bin_and_the_others_are_not() -> None:
    found = separations()
    pair = ("Semtex1H", "marzipan")
    assert min(found, key=lambda key: found[key]) == pair
    others = [value for key, value in found.items() if key != pair]
    assert min(others) > 1.3 * found[pair]
    assert min(others) > 2.0


def test_the_second_bin_tells_the_ambiguous_pair_apart_at_every_thickness() -> None:
    scanner = small(80)

    def ratio(name: str, thickness_mm: float) -> tuple[float, float]:
        """R_ab = ln t_low / ln t_high and its 1-σ over a region of REGION_PIXELS."""
        t = slab(scanner, name, thickness_mm)[:, 0]
        logs = np.log(t)
        relative = SD_T / np.sqrt(REGION_PIXELS) / (t * -logs)
        value = logs[0] / logs[1]
        return float(value), float(value * np.hypot(*relative))

    for thickness_mm in (2.5, 5.0, 10.0, 20.0):
        (a, sd_a), (b, sd_b) = ratio("Semtex1H", thickness_mm), ratio("marzipan", thickness_mm)
        assert abs(a - b) > 5 * np.hypot(sd_a, sd_b), thickness_mm
