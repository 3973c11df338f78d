"""Driver of Newport ESP300/ESP301 motion controllers: ASCII commands, several axes on one port."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from firmware_bridge.motion.axis import AxisError, AxisStatus, DrivenAxis, Limit
from firmware_bridge.motion.esp_errors import describe, is_refusal
from firmware_bridge.motion.line import RequestLine

BAUD: Final = 19_200
#: The controller keeps this many errors; one more question must find its queue empty.
QUEUE: Final = 10
#: Codes of command SN by unit, and how near the target counts as there, in that unit.
UNITS: Final = {"um": (3, 0.5), "mrad": (10, 0.005)}
#: OR1 looks for the home switch, then for the encoder's index mark.
HOME_MODE: Final = 1
#: Bits of the first hardware status register (PH): axis n hits its positive switch at bit n - 1, its negative at n + 7.
_NEGATIVE_BITS: Final = 8
_NUMBER: Final = re.compile(r"[-+]?\d+(\.\d*)?([eE][-+]?\d+)?")
_ERROR: Final = re.compile(r"\d{1,4}")
_STATUS: Final = re.compile(r"([0-9A-Fa-f]+)H\s*,\s*([0-9A-Fa-f]+)H")


class EspController:
    """One controller's port and its error queue, which all its axes share."""

    def __init__(self, port: str | Path, name: str = "motion controller") -> None:
        self._line = RequestLine(
            port, name, baud=BAUD, end=b"\r", hello="VE?", is_hello=lambda line: line.startswith("ESP")
        )
        self.where = self._line.where
        #: Axes that were sent home and not stopped since.
        self.homing: set[int] = set()
        #: Errors read from the queue and not yet raised, by axis; 0: not of an axis.
        self._errors: dict[int, list[int]] = {}
        try:
            self.take_errors(0)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the port back; every axis holds its position."""
        self._line.close()

    def send(self, command: str) -> None:
        """Send a command that has no answer."""
        self._line.send(command)

    def stop(self, axes: Sequence[int]) -> None:
        """Stop ``axes``."""
        for axis in axes:
            self.homing.discard(axis)
            self.send(f"{axis}ST")

    def number(self, query: str) -> float:
        """The number that answers ``query``."""
        answer = self._line.ask(query)
        if not _NUMBER.fullmatch(answer) or not math.isfinite(float(answer)):
            raise self._line.lost(query, answer, "with a number")
        return float(answer)

    def flag(self, query: str) -> bool:
        """The 0 or 1 that answers ``query``."""
        answer = self._line.ask(query)
        if answer not in ("0", "1"):
            raise self._line.lost(query, answer, "with 0 or 1")
        return answer == "1"

    def limit(self, axis: int) -> Limit:
        """The hardware limit switch that ``axis`` hits."""
        answer = self._line.ask("PH")
        match = _STATUS.fullmatch(answer)
        if not match:
            raise self._line.lost("PH", answer, "with two hexadecimal numbers")
        register = int(match[1], 16)
        if register >> (axis - 1) & 1:
            return "upper"
        return "lower" if register >> (axis - 1 + _NEGATIVE_BITS) & 1 else ""

    def take_errors(self, axis: int) -> list[int]:
        """Empty the controller's queue; returns what concerns ``axis`` or none, and keeps the rest for the others."""
        for _ in range(QUEUE + 1):
            answer = self._line.ask("TE?")
            if not _ERROR.fullmatch(answer):
                raise self._line.lost("TE?", answer, "with an error number")
            code = int(answer)
            if not code:
                return self._errors.pop(0, []) + self._errors.pop(axis, [])
            self._errors.setdefault(code // 100, []).append(code)
        raise AxisError(f"{self.where} reports errors without end; power-cycle it")


class EspAxis(DrivenAxis):
    """Axis ``axis`` of a controller, given as :class:`EspController` or by its port. Context manager.

    ``unit`` is um or mrad; ``limits`` are the soft limits (None: those the controller has, SL and SR). Opening the axis
    sets its unit and switches its motor on.
    """

    def __init__(
        self,
        controller: EspController | str | Path,
        axis: int,
        *,
        unit: str = "um",
        limits: tuple[float, float] | None = None,
        name: str = "",
    ) -> None:
        if unit not in UNITS:
            raise ValueError(f"unit {unit!r} of axis {axis}: choose one of {', '.join(UNITS)}")
        self.axis = axis
        self._own = not isinstance(controller, EspController)
        self._controller = controller if isinstance(controller, EspController) else EspController(controller)
        code, arrived = UNITS[unit]
        label = f"{self._controller.where}, axis {axis}{f' ({name})' if name else ''}"
        super().__init__(label, unit, (0, 0), arrived, 0.0)
        self._homed = False
        self._last_error = ""
        try:
            self._controller.take_errors(axis)  # errors of an earlier user are not ours
            self._controller.send(f"{axis}SN{code}")
            self._controller.send(f"{axis}MO")
            self._raise_errors()
            self._speed = self._ask("VA?")
            self._limits = limits or (self._ask("SL?"), self._ask("SR?"))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> EspAxis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back if it is this axis's own; the axis holds its position."""
        if self._own:
            self._controller.close()

    def position_um(self) -> float:
        """Where the axis is, µm."""
        assert self._unit == "um", "a rotation has no position in µm"
        return self.position()

    def move_to_um(self, position_um: float, *, timeout_s: float = 60.0) -> None:
        """Move there and wait until the axis stands. :class:`AxisError` for limits, faults and ``timeout_s``."""
        assert self._unit == "um", "a rotation cannot be sent to a position in µm"
        self.move_to(position_um, timeout_s)

    def moving(self) -> bool:
        """True while the axis moves or homes."""
        return not self._controller.flag(f"{self.axis}MD?")

    def start_home(self) -> None:
        """Begin to look for the home switch and return. Switches the motor on, which a fault had switched off."""
        self._refuse_if_moving()
        self._homed = False
        self._controller.send(f"{self.axis}MO")
        self._raise_errors()
        self._command(f"{self.axis}OR{HOME_MODE}")
        self._controller.homing.add(self.axis)

    def stop(self) -> None:
        """Stop the axis where it is."""
        self._controller.stop([self.axis])

    def status(self) -> AxisStatus:
        """All there is to say. ``homed`` counts from when this driver opened the axis: the controller does not tell."""
        moving = self.moving()
        self._note(self._controller.take_errors(self.axis))
        if not moving:
            self._end_home()
        limit = self._controller.limit(self.axis)
        return AxisStatus(self.position(), moving, self._homed, limit, self._last_error)

    def _ask(self, query: str) -> float:
        return self._controller.number(f"{self.axis}{query}")

    def _read_position(self) -> float:
        return self._ask("TP")

    def _go(self, target: float) -> None:
        self._refuse_if_moving()
        self._command(f"{self.axis}PA{target:.6f}")

    def _refuse_if_moving(self) -> None:
        if self.moving():
            raise AxisError(f"{self.label}: is moving; wait until it stands, or stop it")

    def _command(self, text: str) -> None:
        self._note(self._controller.take_errors(self.axis))
        self._controller.send(text)
        self._raise_errors()
        self._last_error = ""

    def _raise_errors(self) -> None:
        codes = self._controller.take_errors(self.axis)
        text = self._note(codes)
        if codes:
            raise AxisError(text, codes[0])

    def _note(self, codes: list[int]) -> str:
        """Errors as text, kept for the status when they say something about the axis."""
        text = f"{self.label}: {', then '.join(map(describe, codes))}" if codes else ""
        if not all(map(is_refusal, codes)):
            self._last_error = text
            self._controller.homing.discard(self.axis)
        return text

    def _end_home(self) -> None:
        """The axis stands: at home, when nothing came between."""
        if self.axis in self._controller.homing:
            self._controller.homing.discard(self.axis)
            self._homed = True

    def _confirm_home(self) -> None:
        self._end_home()
        if not self._homed:
            raise AxisError(f"{self.label}: homing was interrupted; home it again")

    def _why_short(self) -> str:
        limit = self._controller.limit(self.axis)
        return f"; its {limit} hardware limit switch is hit" if limit else ""
