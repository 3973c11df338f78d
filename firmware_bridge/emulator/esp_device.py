"""A Newport ESP motion controller: ASCII commands in, answers out, time given from outside."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from firmware_bridge.emulator import esp_codes as codes
from firmware_bridge.emulator.axis_device import STAGE_FAULTS, Stage, mask_stage

#: How far the stage may lag behind in its own unit before the controller gives up.
FOLLOWING_ERROR: Final = 20.0
_COMMAND: Final = re.compile(r"(\d*)([A-Z]{2})([-+0-9.E]*)(\??)")
_MAX_LINE: Final = 80
_MAX_WAITING: Final = 64
_EVENTS: Final = {"upper": codes.UPPER_SWITCH, "lower": codes.LOWER_SWITCH, "drive_fault": codes.AMPLIFIER}


class _FaultError(Exception):
    """A command that the controller answers with an error number, asked for later by TE or TB."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class _Drive:
    """What the controller keeps for one axis; lengths in the stage's own unit, positions as the controller counts."""

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

    def fault(self, number: int) -> _FaultError:
        """An error of this axis."""
        return _FaultError(100 * self.number + number)


@dataclass
class EspDevice:
    """A controller with ``stages`` by axis number; one mask translator as axis 1 by default."""

    FAULTS: ClassVar[tuple[str, ...]] = (*STAGE_FAULTS, "mute")

    stages: Mapping[int, Stage] = field(default_factory=lambda: {1: mask_stage()})
    _errors: deque[int] = field(default_factory=lambda: deque(maxlen=codes.QUEUE))
    _waiting: deque[str] = field(default_factory=lambda: deque(maxlen=_MAX_WAITING))
    _line: bytes = b""
    _now_s: float | None = None
    _mute: bool = False
    #: Axis that commands wait for (WS), and how long after it stands.
    _hold: tuple[_Drive, float] | None = None
    _hold_until_s: float | None = None

    def __post_init__(self) -> None:
        if not self.stages or not all(1 <= number <= codes.MAX_AXES for number in self.stages):
            raise ValueError(f"axes {sorted(self.stages)}: an ESP controller has axes 1 to {codes.MAX_AXES}")
        self._drives = {number: _Drive(number, stage) for number, stage in self.stages.items()}
        # Query and set commands: how to read a value, how to write it. Values are in the axis's unit.
        self._values: dict[str, tuple[Callable[[_Drive], float], Callable[[_Drive, float], None] | None]] = {
            "TP": (lambda d: (d.stage.position - d.origin) / d.scale, None),
            "DP": (lambda d: (d.stage.commanded - d.origin) / d.scale, None),
            "PA": (lambda d: (d.stage.commanded - d.origin) / d.scale, lambda d, v: self._move(d, v * d.scale)),
            "PR": (
                lambda d: (d.stage.commanded - d.origin) / d.scale,
                lambda d, v: self._move(d, v * d.scale + d.stage.commanded - d.origin),
            ),
            "SL": (lambda d: d.limits[0] / d.scale, lambda d, v: setattr(d, "limits", (v * d.scale, d.limits[1]))),
            "SR": (lambda d: d.limits[1] / d.scale, lambda d, v: setattr(d, "limits", (d.limits[0], v * d.scale))),
            "VA": (lambda d: d.stage.velocity / d.scale, self._set_velocity),
            "FE": (lambda d: d.following_error / d.scale, lambda d, v: setattr(d, "following_error", v * d.scale)),
            "SH": (lambda d: d.home_preset / d.scale, lambda d, v: setattr(d, "home_preset", v * d.scale)),
            "SN": (lambda d: d.unit, self._set_unit),
            "MD": (lambda d: d.stage.at_rest, None),
            "MO": (lambda d: d.stage.powered, None),
            "MF": (lambda d: d.stage.powered, None),
        }

    def positions(self) -> dict[int, float]:
        """Where the stages really are, µm or mrad by axis number."""
        return {number: stage.position for number, stage in self.stages.items()}

    def inject(self, fault: str, value: float = 1.0, axis: int = 1) -> None:
        """Break ``axis`` (or, with 'mute', the whole controller), or heal it with ``value`` 0."""
        if fault == "mute":
            self._mute = bool(value)
        elif axis not in self.stages:
            raise ValueError(f"axis {axis}: this controller has {', '.join(map(str, sorted(self.stages)))}")
        else:
            self.stages[axis].inject(fault, value)

    def step(self, received: bytes, now_s: float) -> bytes:
        """Move on to time ``now_s``, handle ``received``; returns what to send."""
        seconds = 0.0 if self._now_s is None else max(0.0, now_s - self._now_s)
        self._now_s = now_s
        for drive in self._drives.values():
            drive.stage.advance(seconds)
            self._look_after(drive)
        if self._mute:
            self._line = b""
            self._waiting.clear()
            return b""
        *lines, self._line = (self._line + received).replace(b"\n", b"").split(b"\r")
        self._line = self._line[-_MAX_LINE:]
        for line in lines:
            text = line[:_MAX_LINE].decode("ascii", "replace").upper()
            self._waiting.extend(part for part in map(str.strip, text.split(";")) if part)
        out = b""
        while self._waiting and not self._held(now_s):
            out += self._answer(self._waiting.popleft())
        return out

    def _look_after(self, drive: _Drive) -> None:
        """What the controller does by itself: errors for what happened to the stage, the new origin after homing."""
        stage = drive.stage
        while stage.events:
            event = stage.events.popleft()
            if event == "homed":
                drive.origin = stage.position - drive.home_preset
            else:
                self._errors.append(drive.fault(_EVENTS[event]).code)
        if stage.powered and abs(stage.commanded - stage.position) > drive.following_error:
            stage.power(False)
            self._errors.append(drive.fault(codes.LAGS).code)

    def _held(self, now_s: float) -> bool:
        if self._hold is None:
            return False
        drive, delay_s = self._hold
        if self._hold_until_s is None and drive.stage.at_rest:
            self._hold_until_s = now_s + delay_s
        if self._hold_until_s is None or now_s < self._hold_until_s:
            return True
        self._hold = self._hold_until_s = None
        return False

    def _answer(self, text: str) -> bytes:
        try:
            answer = self._carry_out(text)
        except _FaultError as fault:
            self._errors.append(fault.code)
            return b""
        return answer.encode("ascii") + b"\r\n" if answer else b""

    def _carry_out(self, text: str) -> str:
        """The answer to one command, empty when it has none."""
        match = _COMMAND.fullmatch(text)
        if match is None:
            raise _FaultError(codes.NO_COMMAND)
        axis, name, parameter, query = match.groups()
        if name in ("TE", "TB", "TS", "PH", "VE"):
            return self._report(name)
        if name in ("ST", "AB") and not int(axis or "0"):
            for stage in self.stages.values():
                stage.halt()
            return ""
        if name not in self._values and name not in ("ST", "OR", "DH", "WS"):
            raise _FaultError(codes.NO_COMMAND)
        drive = self._drive(axis)
        read, write = self._values.get(name, (None, None))
        if read is not None and (query or (not parameter and name in ("TP", "DP", "MD"))):
            value = read(drive)
            return str(int(value)) if isinstance(value, (bool, int)) else f"{value:.7g}"
        if write is None:
            self._act(drive, name, parameter)
        else:
            write(drive, _number(parameter))
        return ""

    def _drive(self, axis: str) -> _Drive:
        if not axis:
            raise _FaultError(codes.AXIS_MISSING)
        if not 1 <= int(axis) <= codes.MAX_AXES:
            raise _FaultError(codes.NO_AXIS)
        if int(axis) not in self._drives:
            raise _FaultError(100 * int(axis) + codes.NOT_THERE)
        return self._drives[int(axis)]

    def _report(self, name: str) -> str:
        if name in ("TE", "TB"):
            code = self._errors.popleft() if self._errors else 0
            if name == "TE":
                return str(code)
            return f"{code}, {round((self._now_s or 0.0) * 1000)}, {codes.text(code)}"
        if name == "TS":
            moving = sum(1 << (number - 1) for number, stage in self.stages.items() if not stage.at_rest)
            powered = any(stage.powered for stage in self.stages.values())
            return chr(0x40 | powered << 4 | moving)
        if name == "PH":
            bits = {"upper": 1, "lower": 1 << 8, "": 0}
            limits = sum(bits[stage.limit] << (number - 1) for number, stage in self.stages.items())
            home = sum(stage.at_home << (number - 1) for number, stage in self.stages.items())
            return f"{limits:X}H, {home:X}H"
        return codes.VERSION

    def _act(self, drive: _Drive, name: str, parameter: str) -> None:
        stage = drive.stage
        if name in ("TP", "DP", "MD"):
            raise _FaultError(codes.NO_COMMAND)
        if name == "ST":
            if stage.homing:
                self._errors.append(drive.fault(codes.HOMING_ABORTED).code)
            stage.halt()
        elif name == "MO" and not stage.power(True):
            raise drive.fault(codes.AMPLIFIER)
        elif name == "MF":
            stage.power(False)
        elif name == "DH":
            drive.origin = stage.position - _number(parameter or "0") * drive.scale
        elif name == "WS":
            self._hold = drive, _number(parameter or "0") / 1000.0
        elif name == "OR":
            self._home(drive, _number(parameter or "0"))

    def _home(self, drive: _Drive, mode: float) -> None:
        if mode not in (0, 1, 2):
            raise drive.fault(codes.BAD_VALUE)
        self._refuse(drive)
        if mode == 0:  # to where the count is zero
            drive.stage.move(drive.origin)
        else:
            drive.stage.find_home()

    def _refuse(self, drive: _Drive) -> None:
        if not drive.stage.powered:
            raise drive.fault(codes.OFF)
        if drive.stage.homing:
            raise drive.fault(codes.HOMING)

    def _move(self, drive: _Drive, target: float) -> None:
        low, high = drive.limits
        self._refuse(drive)
        if not low <= target <= high:
            raise drive.fault(codes.UPPER_SOFT if target > high else codes.LOWER_SOFT)
        drive.stage.move(target + drive.origin)

    def _set_velocity(self, drive: _Drive, value: float) -> None:
        if not value > 0:
            raise drive.fault(codes.BAD_VALUE)
        drive.stage.velocity = value * drive.scale

    def _set_unit(self, drive: _Drive, value: float) -> None:
        if value not in codes.UNITS or codes.UNITS[int(value)][0] != drive.stage.unit:
            raise drive.fault(codes.BAD_VALUE)
        drive.unit = int(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise _FaultError(codes.PARAMETER_MISSING) from error
