"""Lists of simulated bags for choosing and reporting, made from a seed range."""

from __future__ import annotations

from firmware_bridge.emulator.materials import names
from firmware_bridge.emulator.plan import Kind, PlanItem

#: Kinds in the order in which they are dealt out: half of the items are bags, half electrical things.
KINDS: tuple[Kind, ...] = ("bag", "laptop", "bag", "phone", "bag", "hair_dryer")
#: What the paper hid in electrical items.
ELECTRICAL_TARGET = "C4"


def items(seeds: tuple[int, int], count: int) -> list[PlanItem]:
    """``count`` items, every other one with a target: each threat material in turn in bags, C4 in electrical items.

    ValueError when the range is too short.
    """
    if count > seeds[1] - seeds[0]:
        raise ValueError(f"count = {count}: the seed range {seeds} holds {seeds[1] - seeds[0]} bags")
    threats = names("threat")
    made, hidden = [], 0
    for k in range(count):
        kind = KINDS[(k // 2) % len(KINDS)]
        target = None
        if k % 2 == 0:
            target = ELECTRICAL_TARGET
            if kind == "bag":
                target = threats[hidden % len(threats)]
                hidden += 1
        made.append(PlanItem(kind=kind, seed=seeds[0] + k, target=target, tag=f"{kind}-{seeds[0] + k}"))
    return made
