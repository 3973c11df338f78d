"""A Kohzu ARIES motor controller: ASCII commands in, answers out, positions in pulses, time given from outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from firmware_bridge.emulator.axis_device import STAGE_FAULTS, Stage, goniometer

VERSION: Final = (1, 4, 3)
#: What the pulse counter holds.
COUNTS: Final = (-134_217_728, 134_217_727)
TABLES: Final = 10
STX: Final = b"\x02"
_COMMAND: Final = re.compile(r"([A-Z]{3})([-+0-9/]*)")
_MAX_LINE: Final = 80

NO_STX, BAD_CHARACTER, NO_COMMAND, COUNT, PARAMETER, NO_AXIS, NO_SYSTEM = 1, 3, 4, 100, 100, 120, 121
UPPER_SWITCH, LOWER_SWITCH, NOT_EXCITED, MOVING, BEYOND_COUNTS = 304, 305, 308, 309, 310
SET_MOVING, SYSTEM_MOVING, ALARM, TOO_EARLY = 311, 313, 315, 803
_EVENTS: Final = {"upper": UPPER_SWITCH, "lower": LOWER_SWITCH, "drive_fault": ALARM}
#: System parameters that WSY and RSY know, with their values at power-up: 2 is the way of homing.
_SYSTEM: Final = {1: 0, 2: 3, 3: 0, 16: 100_000}


class _FaultError(Exception):
    """A command that the controller answers with an error number."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Drive:
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


@dataclass
class AriesDevice:
    """A controller with ``stages`` by axis number; four goniometers by default.

    ``serial``: commands must begin with STX, as on the controller's RS-232C line; its TCP port has none.
    """

    FAULTS: ClassVar[tuple[str, ...]] = (*STAGE_FAULTS, "mute")

    stages: Mapping[int, Stage] = field(default_factory=lambda: {number: goniometer() for number in range(1, 5)})
    steps_per_unit: float = 1000.0
    serial: bool = True
    _line: bytes = b""
    _now_s: float | None = None
    _mute: bool = False

    def __post_init__(self) -> None:
        self._drives = {number: _Drive(number, stage, self.steps_per_unit) for number, stage in self.stages.items()}
        # Command: fewest and most parameters, and what to do with them.
        self._commands: dict[str, tuple[int, int, Callable[..., list[int]]]] = {
            "RDP": (1, 2, self._position),
            "STR": (1, 1, self._state),
            "ROG": (1, 1, lambda a: [int(self._drive(a).stage.homed)]),
            "APS": (4, 4, self._move),
            "RPS": (4, 4, lambda a, table, by, answer: self._move(a, table, by + self._drive(a).count, answer)),
            "ORG": (3, 3, self._home),
            "STP": (2, 2, self._stop),
            "WRP": (2, 2, self._set_position),
            "RTB": (2, 2, lambda a, table: [table, *self._table(self._drive(a), table)]),
            "WTB": (7, 7, self._set_table),
            "RSY": (2, 2, self._system),
            "WSY": (3, 3, self._set_system),
            "REM": (0, 0, list),
            "RAX": (0, 0, lambda: [1, len(self.stages)]),
        }

    def positions(self) -> dict[int, float]:
        """Where the stages really are, mrad or µm by axis number."""
        return {number: stage.position for number, stage in self.stages.items()}

    def inject(self, fault: str, value: float = 1.0, axis: int = 1) -> None:
        """Break ``axis`` (or, with 'mute', the whole controller), or heal it with ``value`` 0.

        A goniometer that is 'stuck' loses steps, and its controller counts on: it has no encoder to know better.
        """
        if fault == "mute":
            self._mute = bool(value)
        elif axis not in self.stages:
            raise ValueError(f"axis {axis}: this controller has {', '.join(map(str, sorted(self.stages)))}")
        else:
            self.stages[axis].inject(fault, value)
            if fault == "drive_fault" and not value:
                self.stages[axis].power(True)

    def step(self, received: bytes, now_s: float) -> bytes:
        """Move on to time ``now_s``, handle ``received``; returns what to send."""
        seconds = 0.0 if self._now_s is None else max(0.0, now_s - self._now_s)
        self._now_s = now_s
        out = "".join(self._look_after(drive, seconds) for drive in self._drives.values())
        if self._mute:
            self._line = b""
            return b""
        *lines, self._line = (self._line + received).split(b"\r\n")
        self._line = self._line[-_MAX_LINE:]
        out += "".join(self._answer(line[:_MAX_LINE]) for line in lines if line)
        return out.encode("ascii")

    def _look_after(self, drive: _Drive, seconds: float) -> str:
        """Let time pass; the answer that the end of a motion owes, if any."""
        stage = drive.stage
        stage.advance(seconds)
        while stage.events:
            event = stage.events.popleft()
            if event == "homed":
                drive.origin = stage.commanded
            else:
                drive.ended = _EVENTS[event]
        if not drive.owed or not stage.at_rest:
            return ""
        owed, drive.owed = drive.owed, ""
        return f"E\t{owed}\t{drive.ended}\r\n" if drive.ended else f"C\t{owed}\r\n"

    def _answer(self, line: bytes) -> str:
        text = line.removeprefix(STX).decode("ascii", "replace")
        echo = text.partition("/")[0]
        try:
            if line.startswith(STX) != self.serial:
                raise _FaultError(NO_STX if self.serial else BAD_CHARACTER)
            numbers = self._carry_out(text)
        except _FaultError as fault:
            return f"E\t{echo[:8]}\t{fault.code}\r\n"
        if numbers is None:
            return ""
        return "\t".join(("C", echo, *map(str, numbers))) + "\r\n"

    def _carry_out(self, text: str) -> list[int] | list[str] | None:
        """Numbers of the answer to one command; None when it is answered later."""
        match = _COMMAND.fullmatch(text)
        if match is None:
            raise _FaultError(BAD_CHARACTER)
        name, rest = match.groups()
        if name == "IDN" and not rest:
            return ["ARIES", *map(str, VERSION)]
        if name not in self._commands:
            raise _FaultError(NO_COMMAND)
        if name != "STP" and any(drive.owed for drive in self._drives.values()):
            raise _FaultError(TOO_EARLY)
        fewest, most, carry_out = self._commands[name]
        parts = rest.split("/") if rest else []
        if not fewest <= len(parts) <= most:
            raise _FaultError(COUNT)
        try:
            numbers = [int(part) for part in parts]
        except ValueError as error:
            raise _FaultError(BAD_CHARACTER) from error
        answer = carry_out(*numbers)
        drive = self._drives.get(numbers[0]) if numbers else None
        if drive is not None and name in ("APS", "RPS", "ORG") and numbers[-1] == 0:
            drive.owed = text.partition("/")[0]
            return None
        return answer

    def _drive(self, axis: int) -> _Drive:
        if axis not in self._drives:
            raise _FaultError(NO_AXIS)
        return self._drives[axis]

    def _table(self, drive: _Drive, number: int) -> list[int]:
        if number not in drive.tables:
            raise _FaultError(PARAMETER + 2)
        return drive.tables[number]

    def _position(self, axis: int, encoder: int = 0) -> list[int]:
        return [self._drive(axis).count]

    def _state(self, axis: int) -> list[int]:
        stage = self._drive(axis).stage
        limit = {"": 0, "lower": 1, "upper": 2}[stage.limit]
        return [int(not stage.at_rest), 0, 2 * stage.at_home, limit, 0, 0]

    def _ready(self, axis: int, table: int, answer: int, last: int) -> _Drive:
        """The drive, able to move at the speed of ``table``; ``last`` is the number of the answer parameter."""
        drive = self._drive(axis)
        top = self._table(drive, table)[1]
        if answer not in (0, 1):
            raise _FaultError(PARAMETER + last)
        if not drive.stage.at_rest:
            raise _FaultError(MOVING)
        if not drive.stage.powered:
            raise _FaultError(NOT_EXCITED)
        drive.stage.velocity = top / drive.steps
        drive.ended = 0
        return drive

    def _move(self, axis: int, table: int, target: int, answer: int) -> list[int]:
        drive = self._ready(axis, table, answer, 4)
        if not COUNTS[0] <= target <= COUNTS[1]:
            raise _FaultError(BEYOND_COUNTS)
        limit = drive.stage.limit
        if (limit == "upper" and target > drive.count) or (limit == "lower" and target < drive.count):
            raise _FaultError(_EVENTS[limit])
        drive.stage.move(drive.origin + target / drive.steps)
        return []

    def _home(self, axis: int, table: int, answer: int) -> list[int]:
        self._ready(axis, table, answer, 3).stage.find_home()
        return []

    def _stop(self, axis: int, how: int) -> list[int]:
        self._drive(axis).stage.halt()
        return []

    def _set_position(self, axis: int, count: int) -> list[int]:
        drive = self._drive(axis)
        if not drive.stage.at_rest:
            raise _FaultError(SET_MOVING)
        drive.origin = drive.stage.commanded - count / drive.steps
        return []

    def _set_table(self, axis: int, table: int, *values: int) -> list[int]:
        drive = self._drive(axis)
        self._table(drive, table)
        if not 1 <= values[1] <= drive.system[16]:
            raise _FaultError(PARAMETER + 4)
        drive.tables[table] = list(values)
        return []

    def _system(self, axis: int, number: int) -> list[int]:
        drive = self._drive(axis)
        if number not in drive.system:
            raise _FaultError(NO_SYSTEM)
        return [number, drive.system[number]]

    def _set_system(self, axis: int, number: int, value: int) -> list[int]:
        drive = self._drive(axis)
        self._system(axis, number)
        if not drive.stage.at_rest:
            raise _FaultError(SYSTEM_MOVING)
        drive.system[number] = value
        return []
