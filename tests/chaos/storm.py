"""What goes wrong in a chaos run, and when: drawn from one seed, so that a run can be had again.

Some of it happens at a place on a bag and is played by the emulated scanner (it fails where a real one fails: packets,
cables, clock, encoder); some happens to the box, some time after a bag has entered, and is done by the driver.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

#: Bags of one scenario file (the emulator takes at most 100).
CHUNK: Final = 50
#: Share of bags to which something happens in the scanner, and to the box.
SCANNER_SHARE: Final = 0.35
BOX_SHARE: Final = 0.4
#: Steps of the wall clock, s: an hour, more than any deadline, and what NTP does. Each is taken back after CLOCK_S.
CLOCK_STEPS_S: Final = (3600.0, -3600.0, 90.0, -90.0, 2.0, -2.0)
CLOCK_S: Final = 3.0
#: Bags with a material that the discriminator finds in a field of THREAT_ROWS rows of the detector; in a smaller one
#: what is hidden in the shrunken bags is too small. They come first, undisturbed, and then again and again.
THREATS: Final = (("C4", 46), ("TNT", 46))
THREAT_ROWS: Final = 512
#: One bag in so many is one of them.
THREAT_EVERY: Final = 2
#: The driver acts so long after the entry of its bag at the latest, real s.
LATEST_S: Final = 2.5


@dataclass(frozen=True)
class Mishap:
    """One kind of trouble in the scanner. ``harms``: no bag that it hits may be CLEAR."""

    name: str
    counted: str
    harms: bool
    weight: int
    step: dict[str, Any] | None = None
    item: dict[str, Any] | None = None


def _at(mm: float, device: str, fault: str, for_s: float, value: float = 1.0) -> dict[str, Any]:
    return {"mm": mm, "device": device, "fault": fault, "value": value, "for_s": for_s}


MISHAPS: Final = (
    Mishap("burst", "packet bursts", True, 6, _at(15, "detector", "packet_loss", 0.2, 0.3)),
    Mishap("loss", "packet bursts", True, 2, item={"packet_loss": 0.02}),
    Mishap("disorder", "packet bursts", False, 2, item={"duplicate": 0.05, "reorder": 0.05}),
    Mishap("cut", "packet bursts", True, 2, item={"truncate_at_mm": 30.0}),
    Mishap("belt-usb", "unplugs", True, 3, _at(5, "belt", "unplug", 1.0)),
    Mishap("tube-usb", "unplugs", True, 1, _at(15, "tube", "unplug", 1.0)),
    Mishap("stage-usb", "unplugs", False, 2, _at(15, "esp-1", "unplug", 1.0)),
    Mishap("clock-ahead", "detector clock steps", False, 3, _at(15, "detector", "clock_jump", 0.5, 3600.0)),
    Mishap("clock-back", "detector clock steps", False, 3, _at(15, "detector", "clock_jump", 0.5, -3600.0)),
    Mishap("encoder-slips", "encoder faults", True, 2, _at(5, "belt", "encoder_slip", 1.5, 0.5)),
    Mishap("encoder-stands", "encoder faults", True, 2, _at(5, "belt", "encoder_slip", 1.5, 1.0)),
)


@dataclass(frozen=True)
class Blow:
    """What the driver does to the box ``after_s`` after bag ``bag`` (from 1) has entered."""

    bag: int
    after_s: float
    kind: str
    services: tuple[str, ...] = ()
    #: Of a step of the wall clock, s.
    step_s: float = 0.0


@dataclass(frozen=True)
class Storm:
    """Everything that goes wrong in one run. ``mishaps``: bag (from 1) to what happens to it in the scanner.

    ``calm``: so many bags come before it, one of each of :data:`THREATS` or none.
    """

    seed: int
    bags: int
    mishaps: dict[int, Mishap]
    blows: tuple[Blow, ...]
    calm: int = 0

    @classmethod
    def draw(cls, seed: int, bags: int, services: Sequence[str], *, threats: bool = False) -> Storm:
        """Draw a run of ``bags`` bags; every service is killed at least once if there are enough bags."""
        calm = len(THREATS) if threats else 0
        rng = random.Random(seed)  # noqa: S311
        mishaps: dict[int, Mishap] = {}
        blows = []
        wanted = list(services)
        rng.shuffle(wanted)
        weights = [mishap.weight for mishap in MISHAPS]
        # One bag between calm and storm, so that the last calm one has its verdict in peace.
        first = calm + 2 if calm else 1
        full_next = first + 2
        for bag in range(first, bags + 1):
            if rng.random() < SCANNER_SHARE:
                mishaps[bag] = rng.choices(MISHAPS, weights)[0]
            after_s = rng.random() * LATEST_S
            if bag == full_next:
                blows.append(Blow(bag, after_s, "disk full"))
                full_next += rng.randrange(12, 20)
            elif wanted and bag % 2 == 0:
                blows.append(Blow(bag, after_s, "kill", (wanted.pop(),)))
            elif rng.random() < BOX_SHARE:
                kind = rng.choice(["kill", "kill", "kill", "kill", "kill two", "flood", "clock", "clock"])
                count = {"kill": 1, "kill two": 2}.get(kind, 0)
                hit = tuple(rng.sample(list(services), count))
                step_s = rng.choice(CLOCK_STEPS_S) if kind == "clock" else 0.0
                blows.append(Blow(bag, after_s, kind.removesuffix(" two"), hit, step_s))
        return cls(seed, bags, mishaps, tuple(blows), calm)

    def threat(self, bag: int) -> int | None:
        """Which of :data:`THREATS` bag ``bag`` (from 1) is; None for another bag."""
        if bag <= self.calm:
            return bag - 1
        return bag // THREAT_EVERY % len(THREATS) if self.calm and bag % THREAT_EVERY == 0 else None

    def tag(self, bag: int) -> str:
        """Tag of bag ``bag`` (from 1)."""
        return f"c{self.seed}-{bag}"

    def harm(self, bag: int) -> str:
        """What hit bag ``bag`` (from 1) that forbids a CLEAR; empty when nothing did.

        A cable that is pulled while the bridge is dead takes nothing from anybody: frames and length decide then.
        """
        mishap = self.mishaps.get(bag)
        if mishap is None or not mishap.harms:
            return ""
        dead = any(blow.bag == bag and "bridge" in blow.services for blow in self.blows)
        return "" if dead and mishap.counted == "unplugs" else mishap.name

    def plan(self) -> dict[str, Any]:
        """The emulator's plan: small things, and bags with something hidden in them."""
        items = []
        for bag in range(1, self.bags + 1):
            mishap = self.mishaps.get(bag)
            item: dict[str, Any] = {"kind": "phone", "seed": 810_000 + bag, "tag": self.tag(bag)}
            threat = self.threat(bag)
            if threat is not None:
                item["kind"] = "bag"
                item["target"], item["seed"] = THREATS[threat]
            if mishap is not None and mishap.item is not None:
                item["faults"] = mishap.item
            items.append(item)
        return {"items": items}

    def scripts(self) -> list[str]:
        """Scenario files (TOML) for the emulator, each about the next CHUNK bags."""
        files = []
        for first in range(1, self.bags + 1, CHUNK):
            bags = min(CHUNK, self.bags - first + 1)
            steps = [
                (bag - first + 1, m.step) for bag, m in self.mishaps.items() if m.step and first <= bag < first + bags
            ]
            # A scenario needs a step; healing what is well changes nothing.
            steps = steps or [(1, {"mm": 1, "device": "detector", "fault": "silence", "value": 0.0, "for_s": 0.1})]
            lines = [f'title = "chaos from bag {first}"', f"bags = {bags}", "pause_s = 0.5"]
            for bag, step in steps:
                lines += ["[[step]]", f"at = {{ bag = {bag}, mm = {step['mm']} }}"]
                lines += [f"{key} = {value!r}".replace("'", '"') for key, value in step.items() if key != "mm"]
            files.append("\n".join(lines) + "\n")
        return files
