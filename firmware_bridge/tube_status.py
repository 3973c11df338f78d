"""What the flags of the x-ray generator mean, and the limits of the tube behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from firmware_bridge import tube_packets as wire
from firmware_bridge.tube_packets import Flag

State = Literal["off", "warming", "ready", "on", "fault"]


@dataclass(frozen=True)
class TubeLimits:
    """What the tube behind the generator may be asked for, kV and mA; the generator's own maxima apply besides."""

    kv: tuple[float, float] = (20.0, 130.0)
    ma: tuple[float, float] = (0.05, 10.0)


@dataclass(frozen=True)
class TubeStatus:
    """State of the generator. ``kv`` and ``ma`` are measured; ``*_set`` is what this driver commanded last.

    ``hours``: high voltage on, in the generator's life. ``on`` includes the ramps and the warning time before them.
    """

    state: State
    kv: float
    ma: float
    interlock_closed: bool
    fault: str
    hours: float
    kv_set: float = 0.0
    ma_set: float = 0.0
    deviation: str = ""


def beam(flags: tuple[bool, ...]) -> bool:
    """True when the STATUS flags say that x-rays are or are about to be on."""
    return flags[Flag.BEAM] or flags[Flag.BEAM_IMMINENT]


def interlock_closed(flags: tuple[bool, ...]) -> bool:
    """True when every interlock is closed."""
    return all(flags[place] for place in wire.INTERLOCKS)


def state(flags: tuple[bool, ...]) -> State:
    """The one word for the STATUS flags."""
    # A beam that is on is said to be on, whatever else is true.
    if beam(flags):
        return "on"
    if flags[Flag.FAULT]:
        return "fault"
    if not flags[Flag.FILAMENT]:
        return "off"
    return "ready" if flags[Flag.READY] else "warming"
