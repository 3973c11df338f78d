"""Which stage hangs on which motion controller of the emulated scanner: as the default of ``[motion]`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import Stage, goniometer, mask_stage, sample_stage
from firmware_bridge.emulator.esp_device import EspDevice

#: Stages of every ESP controller, axis 1 first.
ESP: Final = {"esp-1": ("m1_x", "m1_z", "sample_x"), "esp-2": ("m2_x", "m2_z")}
#: Stages of the ARIES controller, axis 1 first.
ARIES: Final = {"aries": ("m1_rot_z", "m1_rot_x", "m2_rot_z", "m2_rot_x")}
AXES: Final = tuple(name for names in (*ESP.values(), *ARIES.values()) for name in names)


def make(positions: Mapping[str, float]) -> dict[str, Stage]:
    """All stages, standing at ``positions`` (µm, mrad; 0 where nothing is said)."""

    def one(name: str) -> Stage:
        place = positions.get(name, 0.0)
        if name == "sample_x":
            return sample_stage(place)
        return goniometer(place) if "rot" in name else mask_stage(place)

    return {name: one(name) for name in AXES}


def controllers(stages: Mapping[str, Stage]) -> dict[str, EspDevice | AriesDevice]:
    """The controllers, by the name of their line."""

    def wired(names: tuple[str, ...]) -> dict[int, Stage]:
        return {number: stages[name] for number, name in enumerate(names, 1)}

    return {
        **{line: EspDevice(wired(names)) for line, names in ESP.items()},
        **{line: AriesDevice(wired(names)) for line, names in ARIES.items()},
    }
