"""What the bridge refuses, and what it does by itself to make the scanner safe. Pure rules over one situation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.messages import DeviceCommand

#: Actions of each axis; the rest belongs to the one device that can do it.
AXIS_ACTIONS = frozenset({"move", "home", "stop_motion"})
DEVICE_OF: Mapping[str, str] = {
    "clear_line": "belt",
    "belt_start": "belt",
    "belt_stop": "belt",
    "lights": "belt",
    "reset_estop": "belt",
    "warm_up": "tube",
    "beam_on": "tube",
    "beam_off": "tube",
    "tube_reset": "tube",
    "detector_configure": "detector",
    "detector_start": "detector",
    "detector_stop": "detector",
    "detector_reset": "detector",
}
#: stop_motion of this device means every axis.
ALL_AXES = "motion"


@dataclass(frozen=True)
class Situation:
    """What is known at the moment. None: not known."""

    interlock_closed: bool | None = None
    estop: bool = False
    belt_moving: bool | None = None
    bag_in_beam: str = ""
    tube_interlock_open: bool = False
    moving_axes: tuple[str, ...] = ()
    #: Commands being carried out: device to action.
    busy: Mapping[str, str] = field(default_factory=dict)


def refuse(command: DeviceCommand, now: Situation) -> str:
    """Why ``command`` must not be carried out now; empty when it may. The clear line has a gate of its own."""
    reason = ""
    if command.action in ("move", "home"):
        reason = _motion(command, now)
    elif command.action == "beam_on":
        reason = _beam(now)
    elif command.action == "belt_start":
        moving = sorted({*now.moving_axes, *(d for d, a in now.busy.items() if a in ("move", "home"))})
        if moving:
            reason = f"{', '.join(moving)} still moving; wait, or send stop_motion"
        elif now.busy.get("detector") in ("detector_configure", "detector_stop"):
            reason = "the detector is being configured; wait until it is done"
    elif command.action in ("detector_configure", "detector_stop"):
        reason = _scan(now)
    return f"{command.action}: {reason}" if reason else ""


def _motion(command: DeviceCommand, now: Situation) -> str:
    if not math.isfinite(command.target):
        return f"target {command.target} is not a number"
    if now.interlock_closed is False and not now.bag_in_beam:
        return "the interlock is open; close every door"
    return _scan(now) or _estop(now)


def _beam(now: Situation) -> str:
    if now.interlock_closed is None:
        return "the belt controller has not said that the interlock is closed; connect it first"
    if not now.interlock_closed or now.tube_interlock_open:
        which = "the belt controller" if not now.interlock_closed else "the x-ray generator"
        return f"the interlock is open ({which} says so); close every door"
    return _estop(now)


def _estop(now: Situation) -> str:
    return "the emergency stop is in force; release the button and send reset_estop" if now.estop else ""


def _scan(now: Situation) -> str:
    """What would be disturbed: a bag in the beam, or the next one, which may come at any moment."""
    if now.bag_in_beam:
        return f"bag {now.bag_in_beam} is in the beam; let it pass first"
    if now.belt_moving is None:
        return "the belt controller has not said whether the belt stands; connect it first"
    return (
        "the belt is running and the next bag may come at any moment; send belt_stop first" if now.belt_moving else ""
    )


def make_safe(*, doors: bool, axes: tuple[str, ...]) -> list[DeviceCommand]:
    """What the bridge commands by itself.

    ``doors``: the interlock was opened, the emergency stop pressed, or the generator has a fault: beam down, axes
    stopped (the belt controller stops the belt itself). Otherwise the beam went down: the belt is stopped, so that no
    bag passes unscanned.
    """
    if not doors:
        return [DeviceCommand(action="belt_stop")]
    commands = [DeviceCommand(action="beam_off", device="tube")]
    if axes:
        commands.append(DeviceCommand(action="stop_motion", device=ALL_AXES))
    return commands
