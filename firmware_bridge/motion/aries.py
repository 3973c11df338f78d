"""Driver of Kohzu ARIES/LYNX motor controllers: ASCII commands, positions in pulses, several axes on one port."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from firmware_bridge.motion.aries_errors import REFUSALS, describe
from firmware_bridge.motion.axis import AxisError, AxisStatus, DrivenAxis, Limit
from firmware_bridge.motion.line import RequestLine

BAUD: Final = 38_400
#: Speed table of every move and of homing; its speeds are set on the controller.
SPEED_TABLE: Final = 0
#: Response method: answer when the command is taken, not when the move has ended.
QUICK: Final = 1
#: System parameter: the most pulses per second.
TOP_SPEED: Final = 16
#: Stop with the ramp of the speed table, so that no step is lost.
SOFT_STOP: Final = 0
#: Errors and warnings that this driver acts on.
BOTH_LIMITS, EMERGENCY, ALREADY_STOPPING, SHORT_OF_TARGET = 307, 314, 323, 350
#: Bits of the limit field of STR.
_LIMITS: Final[dict[int, Limit]] = {0: "", 1: "lower", 2: "upper"}
_INTEGER: Final = re.compile(r"[-+]?\d+")
_KINDS: Final = ("C", "E", "W")
_STATE_FIELDS: Final = 4


class AriesController:
    """One controller's port, which all its axes share."""

    def __init__(self, port: str | Path, name: str = "motion controller") -> None:
        self._line = RequestLine(
            port, name, baud=BAUD, end=b"\r\n", hello="IDN", is_hello=lambda line: line.startswith("C\tIDN\t")
        )
        self.where = self._line.where
        # A serial line needs a start character before each command, a TCP connection must not have one.
        self._line.head = b"" if self._line.is_tcp else b"\x02"
        #: The last thing the controller said unasked (emergency stop, bus trouble), '' when nothing.
        self.event = ""
        try:
            self._line.greet()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give the port back; every axis holds its position."""
        self._line.close()

    def request(self, command: str, label: str) -> list[int]:
        """The numbers that answer ``command``. An error or a warning raises, its text begins with ``label``."""
        line = self._line.ask(command, skip=self._is_event)
        kind, *fields = line.split("\t")
        echo = command.partition("/")[0]
        numbers = [int(field) for field in fields[1:] if _INTEGER.fullmatch(field)]
        if kind not in _KINDS or fields[:1] != [echo] or len(numbers) != len(fields) - 1:
            raise self._line.lost(command, line, f"with numbers to {echo}")
        if kind == "C":
            return numbers
        if not numbers:
            raise self._line.lost(command, line, "with an error number")
        raise AxisError(f"{label}: {describe(kind, numbers[-1])}", numbers[-1])

    def value(self, command: str, label: str, fields: int = 1) -> int:
        """The last of ``fields`` numbers that answer ``command``."""
        numbers = self.request(command, label)
        if len(numbers) != fields:
            raise self._line.lost(command, str(numbers), f"with {fields} numbers")
        return numbers[-1]

    def state(self, axis: int, label: str) -> tuple[bool, bool, Limit]:
        """Whether ``axis`` moves, whether an emergency stop is active, and the limit switch it hits."""
        fields = self.request(f"STR{axis}", label)
        if len(fields) < _STATE_FIELDS or fields[0] not in (0, 1, 2) or fields[1] not in (0, 1):
            raise self._line.lost(f"STR{axis}", str(fields), "with the state of an axis")
        if fields[3] not in _LIMITS:
            raise AxisError(f"{label}: {describe('E', BOTH_LIMITS)}", BOTH_LIMITS)
        return fields[0] != 0, fields[1] != 0, _LIMITS[fields[3]]

    def stop(self, axes: Sequence[int], label: str = "") -> None:
        """Stop ``axes``; every one is told, whatever becomes of the answers."""
        first: Exception | None = None
        for axis in axes:
            command = f"STP{axis}/{SOFT_STOP}"
            try:
                # A line that is out of step would have to be mended first: stop blindly, then ask.
                if not self._line.in_step:
                    self._line.send(command)
                if first is None or self._line.in_step:
                    self.request(command, label or f"{self.where}, axis {axis}")
            except (AxisError, OSError) as error:
                if not (isinstance(error, AxisError) and error.number == ALREADY_STOPPING):
                    first = first or error
        if first is not None:
            raise first

    def _is_event(self, line: str) -> bool:
        parts = line.split("\t")
        if len(parts) != 3 or parts[0] not in ("E", "W") or parts[1] != "SYS" or not parts[2].isdigit():
            return False
        self.event = f"{self.where}: {describe(parts[0], int(parts[2]))}"
        return True


class AriesAxis(DrivenAxis):
    """Axis ``axis`` of ``controller``; ``steps_per_unit`` pulses make one ``unit`` (um or mrad)."""

    def __init__(
        self,
        controller: AriesController,
        axis: int,
        *,
        limits: tuple[float, float],
        steps_per_unit: float,
        unit: str = "mrad",
        name: str = "",
    ) -> None:
        if not steps_per_unit > 0:
            raise ValueError(f"steps_per_unit {steps_per_unit} of axis {axis}: give a number above 0")
        self.axis = axis
        self._controller = controller
        self._steps = steps_per_unit
        # Half a pulse of rounding, and the last one may be on its way.
        label = f"{controller.where}, axis {axis}{f' ({name})' if name else ''}"
        # An axis that is not there is found out now.
        top = controller.value(f"RSY{axis}/{TOP_SPEED}", label, fields=2)
        super().__init__(label, unit, limits, 1.5 / steps_per_unit, top / steps_per_unit)
        self._last_error = ""

    def moving(self) -> bool:
        """True while the axis moves or homes."""
        return self._controller.state(self.axis, self.label)[0]

    def start_home(self) -> None:
        """Begin to look for the home switch and return."""
        self._command(f"ORG{self.axis}/{SPEED_TABLE}/{QUICK}")

    def stop(self) -> None:
        """Stop the axis where it is."""
        self._controller.stop([self.axis], self.label)

    def status(self) -> AxisStatus:
        """All there is to say; ``homed`` is what the controller remembers."""
        moving, emergency, limit = self._controller.state(self.axis, self.label)
        stopped = f"{self.label}: {describe('E', EMERGENCY)}" if emergency else ""
        error = self._last_error or stopped or self._controller.event
        return AxisStatus(self.position(), moving, self._homed(), limit, error)

    def _homed(self) -> bool:
        return self._controller.value(f"ROG{self.axis}", self.label) == 1

    def _read_position(self) -> float:
        return self._controller.value(f"RDP{self.axis}", self.label) / self._steps

    def _go(self, target: float) -> None:
        self._command(f"APS{self.axis}/{SPEED_TABLE}/{round(target * self._steps)}/{QUICK}")

    def _command(self, text: str) -> None:
        try:
            self._controller.request(text, self.label)
        except AxisError as error:
            self._last_error = "" if error.number in REFUSALS else str(error)
            if error.number == SHORT_OF_TARGET:  # the controller has begun a move that it will not end at the target
                self.stop()
            raise
        # It was taken: what was wrong before is over, an emergency stop too.
        self._last_error = self._controller.event = ""

    def _raise_errors(self) -> None:
        _, emergency, _ = self._controller.state(self.axis, self.label)
        if emergency:
            self._last_error = f"{self.label}: {describe('E', EMERGENCY)}"
            raise AxisError(self._last_error, EMERGENCY)

    def _confirm_home(self) -> None:
        if not self._homed():
            self._last_error = f"{self.label}: homing ended without a home position{self._why_short()}; home it again"
            raise AxisError(self._last_error)

    def _why_short(self) -> str:
        limit = self._controller.state(self.axis, self.label)[2]
        event = f"; {self._controller.event}" if self._controller.event else ""
        return f"; its {limit} hardware limit switch is hit{event}" if limit else event
