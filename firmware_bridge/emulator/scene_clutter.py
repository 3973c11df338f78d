"""The clutter of the paper's bags (Methods, Sample preparation), as one table."""

from __future__ import annotations

from collections.abc import Callable

from firmware_bridge.emulator.scene_belongings import (
    bottle,
    charger,
    coins,
    earphones,
    gum,
    keys,
    notebook,
    pen,
    sewing_kit,
    shirt,
    wallet,
)
from firmware_bridge.emulator.scene_parts import Part
from firmware_bridge.emulator.scene_toiletries import (
    body_puff,
    floss,
    hairbrush,
    jelly_jar,
    lip_balm,
    nail_file,
    paracetamol,
    spray,
    tampons,
    toothbrush,
    toothpaste,
)
from firmware_bridge.emulator.scene_wires import Rng

#: (rng, u, y, angle) to the parts of one thing.
Maker = Callable[[Rng, float, float, float], list[Part]]

CLUTTER: tuple[Maker, ...] = (
    jelly_jar, lip_balm, body_puff, toothbrush, floss, tampons, sewing_kit, earphones, spray, nail_file,
    paracetamol, hairbrush, gum, charger, keys, coins, pen, toothpaste, bottle, wallet, notebook, shirt,
)  # fmt: skip
#: What fits beside an electrical item.
SMALL_CLUTTER: tuple[Maker, ...] = (
    lip_balm, earphones, nail_file, gum, keys, coins, pen, paracetamol, floss, tampons, sewing_kit,
)  # fmt: skip
