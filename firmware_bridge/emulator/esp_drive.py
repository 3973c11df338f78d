"""One axis as a Newport ESP controller keeps it: unit, limits, count, and what it does to the stage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from firmware_bridge.emulator import esp_codes as codes
from firmware_bridge.emulator.axis_device import Stage

#: How far the stage may lag behind, in its own unit, before the controller gives up.
FOLLOWING_ERROR: Final = 20.0
_EVENTS: Final = {"upper": codes.UPPER_SWITCH, "lower": codes.LOWER_SWITCH, "drive_fault": codes.AMPLIFIER}


class EspFaultError(Exception):
    """A command that the controller answers with an error number, asked for later by TE or TB."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class EspDrive:
    """Axis ``number``. Lengths are in the stage's own unit, positions as the controller counts."""

    number: int
    stage: Stage
    unit: int = 0
    limits: tuple[float, float] = (0.0, 0.0)
    following_error: float = FOLLOWING_ERROR
    home_preset: float = 0.0
    #: True position minus counted position.
    origin: float = 0.0

    def __post_init__(self) -> None:
        self.unit = codes.POWER_UP_UNIT[self.stage.unit]
        self.limits = self.stage.travel

    @property
    def scale(self) -> float:
        """Size of its unit in the stage's own."""
        return codes.UNITS[self.unit][1]

    @property
    def count(self) -> float:
        """Where the stage is."""
        return self.stage.position - self.origin

    @property
    def wanted(self) -> float:
        """Where it is told to be."""
        return self.stage.commanded - self.origin

    @property
    def target(self) -> float:
        """Where it was sent."""
        return self.stage.target - self.origin

    def fault(self, number: int) -> EspFaultError:
        """An error of this axis."""
        return EspFaultError(100 * self.number + number)

    def look_after(self) -> list[int]:
        """What the controller does by itself: the new origin after homing. Returns errors that came up."""
        stage, errors = self.stage, []
        while stage.events:
            event = stage.events.popleft()
            if event == "homed":
                self.origin = stage.position - self.home_preset
            else:
                errors.append(self.fault(_EVENTS[event]).code)
        if stage.powered and abs(stage.commanded - stage.position) > self.following_error:
            stage.power(False)
            errors.append(self.fault(codes.LAGS).code)
        return errors

    def move(self, target: float) -> None:
        """Go to the counted position ``target``."""
        low, high = self.limits
        self._refuse()
        if not low <= target <= high:
            raise self.fault(codes.UPPER_SOFT if target > high else codes.LOWER_SOFT)
        self.stage.move(target + self.origin)

    def home(self, mode: float) -> None:
        """Command OR: 0 to where the count is 0, 1 and 2 to the home switch."""
        if mode not in (0, 1, 2):
            raise self.fault(codes.BAD_VALUE)
        self._refuse()
        if mode == 0:
            self.stage.move(self.origin)
        else:
            self.stage.find_home()

    def stop(self) -> list[int]:
        """Command ST; returns errors that came up."""
        aborted = self.stage.homing
        self.stage.halt()
        return [self.fault(codes.HOMING_ABORTED).code] if aborted else []

    def set_velocity(self, value: float) -> None:
        """Command VA, in its unit per second."""
        if not value > 0:
            raise self.fault(codes.BAD_VALUE)
        self.stage.velocity = value * self.scale

    def set_unit(self, value: float) -> None:
        """Command SN."""
        if value not in codes.UNITS or codes.UNITS[int(value)][0] != self.stage.unit:
            raise self.fault(codes.BAD_VALUE)
        self.unit = int(value)

    def _refuse(self) -> None:
        if not self.stage.powered:
            raise self.fault(codes.OFF)
        if self.stage.homing:
            raise self.fault(codes.HOMING)
