"""A one-axis Newport ESP controller: ASCII commands in, answers out, time given from outside."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import Final

#: Units of command SN that a mask stage may be asked for, in µm.
UNITS_UM: Final = {2: 1000.0, 3: 1.0}
VERSION: Final = "ESP300 Version 3.0 (Darklane emulation)"
_COMMAND: Final = re.compile(r"(\d*)([A-Z]{2})([-+0-9.eE]*)(\??)")
_MAX_LINE: Final = 80

NO_COMMAND, NOT_IN_RANGE, NO_AXIS, AXIS_MISSING, PARAMETER_MISSING = 6, 7, 9, 37, 38
NOT_IN_RANGE_AXIS, POSITIVE_LIMIT, NEGATIVE_LIMIT, NOT_ENABLED = 1, 6, 7, 13
_AXIS_COMMANDS: Final = frozenset({"PA", "PR", "TP", "MD", "ST", "MO", "MF", "SN", "SL", "SR", "VA"})


class _FaultError(Exception):
    """A command that the controller answers with an error number, asked for later by TE."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class AxisDevice:
    """Axis 1 of the controller, moving at constant speed. ``position_um`` is where the mask really is."""

    position_um: float = 0.0
    velocity_um_s: float = 400.0
    limits_um: tuple[float, float] = (-500.0, 500.0)
    axis: int = 1
    target_um: float = field(init=False)
    enabled: bool = False
    _unit_um: float = 1000.0
    _errors: deque[int] = field(default_factory=lambda: deque(maxlen=10))
    _line: bytes = b""
    _now_s: float | None = None

    def __post_init__(self) -> None:
        self.target_um = self.position_um

    @property
    def at_rest(self) -> bool:
        """True when the axis stands where it was sent."""
        return self.position_um == self.target_um

    def step(self, received: bytes, now_s: float) -> bytes:
        """Move on to time ``now_s``, handle ``received``; returns what to send."""
        if self._now_s is not None:
            reach = self.velocity_um_s * max(0.0, now_s - self._now_s)
            way = self.target_um - self.position_um
            self.position_um = (
                self.target_um if abs(way) <= reach else self.position_um + (reach if way > 0 else -reach)
            )
        self._now_s = now_s
        out = b""
        *lines, self._line = (self._line + received).replace(b"\n", b"").split(b"\r")
        self._line = self._line[-_MAX_LINE:]
        for line in lines:
            for text in line[:_MAX_LINE].decode("ascii", "replace").upper().split(";"):
                if text.strip():
                    out += self._line_out(text.strip())
        return out

    def _line_out(self, text: str) -> bytes:
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
            raise _FaultError(NO_COMMAND)
        axis, name, parameter, query = match.groups()
        if name == "TE":
            return str(self._errors.popleft() if self._errors else 0)
        if name == "VE":
            return VERSION
        self._check_axis(axis, name)
        if query or name in ("TP", "MD"):
            return self._answer(name)
        if name in ("ST", "MO", "MF"):
            self._switch(name)
            return ""
        try:
            self._set(name, float(parameter))
        except ValueError as error:
            raise _FaultError(PARAMETER_MISSING) from error
        return ""

    def _check_axis(self, axis: str, name: str) -> None:
        if name not in _AXIS_COMMANDS:
            raise _FaultError(NO_COMMAND)
        if not axis:
            raise _FaultError(AXIS_MISSING)
        if int(axis) != self.axis:
            raise _FaultError(NO_AXIS)

    def _answer(self, name: str) -> str:
        unit = self._unit_um
        if name == "SN":
            return str({scale: code for code, scale in UNITS_UM.items()}[unit])
        if name in ("MD", "MO"):
            return str(int(self.at_rest if name == "MD" else self.enabled))
        value_um = {
            "TP": self.position_um,
            "PA": self.target_um,
            "SL": self.limits_um[0],
            "SR": self.limits_um[1],
            "VA": self.velocity_um_s,
        }.get(name, 0.0)
        return f"{value_um / unit:.7g}"

    def _switch(self, name: str) -> None:
        if name == "MO":
            self.enabled = True
            return
        self.target_um = self.position_um
        if name == "MF":
            self.enabled = False

    def _set(self, name: str, value: float) -> None:
        if name == "SN":
            if value not in UNITS_UM:
                raise _FaultError(self.axis * 100 + NOT_IN_RANGE_AXIS)
            self._unit_um = UNITS_UM[int(value)]
            return
        value_um = value * self._unit_um
        if name in ("PA", "PR"):
            self._move(value_um + (self.target_um if name == "PR" else 0.0))
        elif name == "SL":
            self.limits_um = (value_um, self.limits_um[1])
        elif name == "SR":
            self.limits_um = (self.limits_um[0], value_um)
        elif name == "VA" and value_um > 0:
            self.velocity_um_s = value_um
        else:
            raise _FaultError(NOT_IN_RANGE)

    def _move(self, target_um: float) -> None:
        low, high = self.limits_um
        if not self.enabled:
            raise _FaultError(self.axis * 100 + NOT_ENABLED)
        if not low <= target_um <= high:
            raise _FaultError(self.axis * 100 + (POSITIVE_LIMIT if target_um > high else NEGATIVE_LIMIT))
        self.target_um = target_um
