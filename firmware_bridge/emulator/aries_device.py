"""A Kohzu ARIES motor controller: ASCII commands in, answers out, positions in pulses, time given from outside."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from firmware_bridge.emulator import aries_drive as codes
from firmware_bridge.emulator.aries_drive import AriesDrive
from firmware_bridge.emulator.axis_device import STAGE_FAULTS, Stage, goniometer

VERSION: Final = (1, 4, 3)
STX: Final = b"\x02"
_COMMAND: Final = re.compile(r"([A-Z]{3})([-+0-9/]*)")
_MAX_LINE: Final = 80


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
        self._drives = {number: AriesDrive(number, stage, self.steps_per_unit) for number, stage in self.stages.items()}
        # Command: fewest and most parameters, and what to do with them; the numbers of the answer, None for none.
        self._commands: dict[str, tuple[int, int, Callable[..., list[int] | None]]] = {
            "RDP": (1, 2, self._position),
            "STR": (1, 1, self._state),
            "ROG": (1, 1, lambda a: [int(self._drive(a).stage.homed)]),
            "APS": (4, 4, lambda a, table, to, answer: self._drive(a).move(table, to, answer)),
            "RPS": (4, 4, lambda a, table, by, answer: self._drive(a).move(table, self._drive(a).count + by, answer)),
            "ORG": (3, 3, lambda a, table, answer: self._drive(a).home(table, answer)),
            "STP": (2, 2, self._stop),
            "WRP": (2, 2, lambda a, count: self._drive(a).set_count(count)),
            "RTB": (2, 2, lambda a, table: [table, *self._drive(a).table(table)]),
            "WTB": (7, 7, lambda a, *values: self._drive(a).set_table(*values)),
            "RSY": (2, 2, lambda a, number: [number, self._drive(a).parameter(number)]),
            "WSY": (3, 3, lambda a, number, value: self._drive(a).set_parameter(number, value)),
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
        out = "".join(drive.look_after(seconds) for drive in self._drives.values())
        if self._mute:
            self._line = b""
            return b""
        *lines, self._line = (self._line + received).split(b"\r\n")
        self._line = self._line[-_MAX_LINE:]
        out += "".join(self._answer(line[:_MAX_LINE]) for line in lines if line)
        return out.encode("ascii", "replace")

    def _answer(self, line: bytes) -> str:
        text = line.removeprefix(STX).decode("ascii", "replace")
        echo = text.partition("/")[0]
        try:
            if line.startswith(STX) != self.serial:
                raise codes.AriesFaultError(codes.NO_STX if self.serial else codes.BAD_CHARACTER)
            numbers = self._carry_out(text)
        except codes.AriesFaultError as fault:
            return f"E\t{echo[:8]}\t{fault.code}\r\n"
        if numbers is None:
            return ""
        return "\t".join(("C", echo, *map(str, numbers))) + "\r\n"

    def _carry_out(self, text: str) -> list[int] | list[str] | None:
        """Numbers of the answer to one command; None when it is answered later."""
        match = _COMMAND.fullmatch(text)
        if match is None:
            raise codes.AriesFaultError(codes.BAD_CHARACTER)
        name, rest = match.groups()
        if name == "IDN" and not rest:
            return ["ARIES", *map(str, VERSION)]
        if name not in self._commands:
            raise codes.AriesFaultError(codes.NO_COMMAND)
        if name != "STP" and any(drive.owed for drive in self._drives.values()):
            raise codes.AriesFaultError(codes.TOO_EARLY)
        fewest, most, carry_out = self._commands[name]
        parts = rest.split("/") if rest else []
        if not fewest <= len(parts) <= most:
            raise codes.AriesFaultError(codes.COUNT)
        try:
            numbers = [int(part) for part in parts]
        except ValueError as error:
            raise codes.AriesFaultError(codes.BAD_CHARACTER) from error
        answer = carry_out(*numbers)
        drive = self._drives.get(numbers[0]) if numbers else None
        if drive is not None and name in ("APS", "RPS", "ORG") and numbers[-1] == 0:
            drive.owed = text.partition("/")[0]
            return None
        return answer or []

    def _drive(self, axis: int) -> AriesDrive:
        if axis not in self._drives:
            raise codes.AriesFaultError(codes.NO_AXIS)
        return self._drives[axis]

    def _position(self, axis: int, encoder: int = 0) -> list[int]:
        return [self._drive(axis).count]

    def _state(self, axis: int) -> list[int]:
        stage = self._drive(axis).stage
        limit = {"": 0, "lower": 1, "upper": 2}[stage.limit]
        return [int(not stage.at_rest), 0, 2 * stage.at_home, limit, 0, 0]

    def _stop(self, axis: int, how: int) -> list[int]:
        drive = self._drive(axis)
        if how not in (0, 1):
            raise codes.AriesFaultError(codes.PARAMETER + 2)
        drive.stage.halt()
        return []
