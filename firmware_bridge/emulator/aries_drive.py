"""One axis as a Kohzu ARIES controller keeps it: pulses, speed tables, system parameters, and its error numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from firmware_bridge.emulator.axis_device import Stage

#: What the pulse counter holds.
COUNTS: Final = (-134_217_728, 134_217_727)
TABLES: Final = 10
NO_STX, BAD_CHARACTER, NO_COMMAND, COUNT, PARAMETER, NO_AXIS, NO_SYSTEM = 1, 3, 4, 100, 100, 120, 121
UPPER_SWITCH, LOWER_SWITCH, NOT_EXCITED, MOVING, BEYOND_COUNTS = 304, 305, 308, 309, 310
SET_MOVING, SYSTEM_MOVING, ALARM, TOO_EARLY = 311, 313, 315, 803
_EVENTS: Final = {"upper": UPPER_SWITCH, "lower": LOWER_SWITCH, "drive_fault": ALARM}
#: System parameters that WSY and RSY know, with their values at power-up: 2 is the way of homing.
TOP_SPEED: Final = 16
_SYSTEM: Final = {1: 0, 2: 3, 3: 0, TOP_SPEED: 100_000}


class AriesFaultError(Exception):
    """A command that the controller answers with an error number."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class AriesDrive:
    """What the controller keeps for one axis."""

    number: int
    stage: Stage
    steps: float
    #: Commanded position minus counted position, in the stage's unit.
    origin: float = 0.0
    #: Command whose answer waits for the end of the motion, '' when none does.
    owed: str = ""
    #: Error that ended the last motion, 0 when none did.
    ended: int = 0
    tables: dict[int, list[int]] = field(default_factory=dict)
    system: dict[int, int] = field(default_factory=lambda: dict(_SYSTEM))

    def __post_init__(self) -> None:
        top = round(self.stage.velocity * self.steps)
        self.tables = {number: [max(1, top // 10), top, 10, 10, 2] for number in range(TABLES)}

    @property
    def count(self) -> int:
        """The pulse counter."""
        return round((self.stage.commanded - self.origin) * self.steps)

    def look_after(self, seconds: float) -> str:
        """Let time pass; the answer that the end of a motion owes, if any."""
        stage = self.stage
        stage.advance(seconds)
        while stage.events:
            event = stage.events.popleft()
            if event == "homed":
                self.origin = stage.commanded
            else:
                self.ended = _EVENTS[event]
        if not self.owed or not stage.at_rest:
            return ""
        owed, self.owed = self.owed, ""
        return f"E\t{owed}\t{self.ended}\r\n" if self.ended else f"C\t{owed}\r\n"

    def table(self, number: int) -> list[int]:
        """Speed table ``number``: start and top speed (pulses/s), ramps (10 ms), pattern."""
        if number not in self.tables:
            raise AriesFaultError(PARAMETER + 2)
        return self.tables[number]

    def move(self, table: int, target: int, answer: int) -> None:
        """Go to the count ``target``."""
        self._make_ready(table, answer, 4)
        if not COUNTS[0] <= target <= COUNTS[1]:
            raise AriesFaultError(BEYOND_COUNTS)
        limit = self.stage.limit
        if (limit == "upper" and target > self.count) or (limit == "lower" and target < self.count):
            raise AriesFaultError(_EVENTS[limit])
        self.stage.move(self.origin + target / self.steps)

    def home(self, table: int, answer: int) -> None:
        """Look for the home switch."""
        self._make_ready(table, answer, 3)
        self.stage.find_home()

    def set_count(self, count: int) -> None:
        """Call this place ``count``."""
        if not COUNTS[0] <= count <= COUNTS[1]:
            raise AriesFaultError(PARAMETER + 2)
        if not self.stage.at_rest:
            raise AriesFaultError(SET_MOVING)
        self.origin = self.stage.commanded - count / self.steps

    def set_table(self, number: int, *values: int) -> None:
        """Write a speed table."""
        self.table(number)
        if not 1 <= values[1] <= self.system[TOP_SPEED]:
            raise AriesFaultError(PARAMETER + 4)
        self.tables[number] = list(values)

    def parameter(self, number: int) -> int:
        """System parameter ``number``."""
        if number not in self.system:
            raise AriesFaultError(NO_SYSTEM)
        return self.system[number]

    def set_parameter(self, number: int, value: int) -> None:
        """Write a system parameter."""
        self.parameter(number)
        if not self.stage.at_rest:
            raise AriesFaultError(SYSTEM_MOVING)
        self.system[number] = value

    def _make_ready(self, table: int, answer: int, last: int) -> None:
        """Ready to move at the speed of ``table``; ``last`` is the number of the answer parameter."""
        top = self.table(table)[1]
        if answer not in (0, 1):
            raise AriesFaultError(PARAMETER + last)
        if not self.stage.at_rest:
            raise AriesFaultError(MOVING)
        if not self.stage.powered:
            raise AriesFaultError(NOT_EXCITED)
        self.stage.velocity = top / self.steps
        self.ended = 0
