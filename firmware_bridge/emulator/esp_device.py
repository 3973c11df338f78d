"""A Newport ESP motion controller: ASCII commands in, answers out, time given from outside."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final

from firmware_bridge.emulator import esp_codes as codes
from firmware_bridge.emulator.axis_device import STAGE_FAULTS, Stage, mask_stage
from firmware_bridge.emulator.esp_drive import EspDrive, EspFaultError

_COMMAND: Final = re.compile(r"(\d*)([A-Z]{2})([-+0-9.E]*)(\??)")
_MAX_LINE: Final = 80
_MAX_WAITING: Final = 64
_MAX_NUMBER: Final = 1e9


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
    _hold: tuple[EspDrive, float] | None = None
    _hold_until_s: float | None = None

    def __post_init__(self) -> None:
        if not self.stages or not all(1 <= number <= codes.MAX_AXES for number in self.stages):
            raise ValueError(f"axes {sorted(self.stages)}: an ESP controller has axes 1 to {codes.MAX_AXES}")
        self._drives = {number: EspDrive(number, stage) for number, stage in self.stages.items()}
        # Query and set commands: how to read a value, how to write it. Values are in the axis's unit.
        self._values: dict[str, tuple[Callable[[EspDrive], float], Callable[[EspDrive, float], None] | None]] = {
            "TP": (lambda d: d.count / d.scale, None),
            "DP": (lambda d: d.wanted / d.scale, None),
            "PA": (lambda d: d.target / d.scale, lambda d, v: d.move(v * d.scale)),
            "PR": (lambda d: d.target / d.scale, lambda d, v: d.move(v * d.scale + d.target)),
            "SL": (lambda d: d.limits[0] / d.scale, lambda d, v: setattr(d, "limits", (v * d.scale, d.limits[1]))),
            "SR": (lambda d: d.limits[1] / d.scale, lambda d, v: setattr(d, "limits", (d.limits[0], v * d.scale))),
            "VA": (lambda d: d.stage.velocity / d.scale, EspDrive.set_velocity),
            "FE": (lambda d: d.following_error / d.scale, lambda d, v: setattr(d, "following_error", v * d.scale)),
            "SH": (lambda d: d.home_preset / d.scale, lambda d, v: setattr(d, "home_preset", v * d.scale)),
            "SN": (lambda d: d.unit, EspDrive.set_unit),
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
            self._errors.extend(drive.look_after())
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
        except EspFaultError as fault:
            self._errors.append(fault.code)
            return b""
        return answer.encode("ascii") + b"\r\n" if answer else b""

    def _carry_out(self, text: str) -> str:
        """The answer to one command, empty when it has none."""
        match = _COMMAND.fullmatch(text)
        if match is None:
            raise EspFaultError(codes.NO_COMMAND)
        axis, name, parameter, query = match.groups()
        if name in ("TE", "TB", "TS", "PH", "VE"):
            return self._report(name)
        if name == "AB" or (name == "ST" and not int(axis or "0")):
            for drive in self._drives.values():
                self._errors.extend(drive.stop())
                if name == "AB":  # emergency stop: the motors go off as well
                    drive.stage.power(False)
            return ""
        if name not in self._values and name not in ("ST", "OR", "DH", "WS"):
            raise EspFaultError(codes.NO_COMMAND)
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

    def _drive(self, axis: str) -> EspDrive:
        if not axis:
            raise EspFaultError(codes.AXIS_MISSING)
        if not 1 <= int(axis) <= codes.MAX_AXES:
            raise EspFaultError(codes.NO_AXIS)
        if int(axis) not in self._drives:
            raise EspFaultError(100 * int(axis) + codes.NOT_THERE)
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

    def _act(self, drive: EspDrive, name: str, parameter: str) -> None:
        stage = drive.stage
        if name in ("TP", "DP", "MD"):
            raise EspFaultError(codes.NO_COMMAND)
        if name == "ST":
            self._errors.extend(drive.stop())
        elif name == "MO" and not stage.power(True):
            raise drive.fault(codes.AMPLIFIER)
        elif name == "MF":
            stage.power(False)
        elif name == "DH":
            drive.origin = stage.position - _number(parameter or "0") * drive.scale
        elif name == "WS":
            self._hold = drive, _number(parameter or "0") / 1000.0
        elif name == "OR":
            drive.home(_number(parameter or "0"))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise EspFaultError(codes.PARAMETER_MISSING) from error
    if abs(value) > _MAX_NUMBER:
        raise EspFaultError(codes.OUT_OF_RANGE)
    return value
