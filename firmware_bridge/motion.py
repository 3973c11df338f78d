"""Driver of one motion axis on a Newport ESP controller (ASCII over serial): enough to carry a mask."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Final

from firmware_bridge.serial_link import LinkError, SerialLink

__all__ = ["AxisError", "EspAxis", "LinkError"]

ANSWER_S: Final = 1.0
POLL_S: Final = 0.01
#: The axis must be within this of where it was sent, µm.
ARRIVED_UM: Final = 0.5
#: Code of the unit "micrometre" in command SN.
MICROMETRE: Final = 3

#: What error numbers mean (ESP user's manual); axis errors are axis * 100 + number.
GENERAL_ERRORS: Final = {
    4: "emergency stop activated",
    6: "command does not exist",
    7: "parameter out of range",
    8: "cable interlock error",
    9: "axis number out of range",
    37: "axis number missing",
    38: "command parameter missing",
}
AXIS_ERRORS: Final = {
    0: "motor type not defined",
    1: "parameter out of range",
    2: "amplifier fault",
    3: "following error too large",
    4: "positive limit switch hit",
    5: "negative limit switch hit",
    6: "beyond the positive software limit",
    7: "beyond the negative software limit",
    8: "motor or stage not connected",
    9: "feedback signal fault",
    13: "motor not enabled",
}


class AxisError(RuntimeError):
    """The controller reported an error or does not answer; the text has number, meaning and axis."""


def describe(code: int) -> str:
    """An ESP error number in words."""
    if code >= 100:
        return f"axis {code // 100}: {AXIS_ERRORS.get(code % 100, 'unlisted axis error')} (error {code})"
    return f"{GENERAL_ERRORS.get(code, 'unlisted error')} (error {code})"


class EspAxis:
    """Axis ``axis`` of the controller at ``path``; positions in µm. Use as a context manager."""

    def __init__(self, path: Path, axis: int) -> None:
        self.axis = axis
        self._link = SerialLink(path, "motion controller", baud=19_200)
        self._buffer = b""
        try:
            self._drain_errors()
            self._send(f"{axis}SN{MICROMETRE}")
            self._send(f"{axis}MO")
            self.check()
        except BaseException:
            self._link.close()
            raise

    def __enter__(self) -> EspAxis:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the port back; the axis holds its position."""
        self._link.close()

    def position_um(self) -> float:
        """Where the axis is, µm."""
        return self._number(f"{self.axis}TP?")

    def limits_um(self) -> tuple[float, float]:
        """Software limits, µm."""
        return self._number(f"{self.axis}SL?"), self._number(f"{self.axis}SR?")

    def move_to_um(self, position_um: float, *, timeout_s: float = 60.0) -> None:
        """Move there and wait until the axis stands. :class:`AxisError` for limits, faults and ``timeout_s``."""
        self._send(f"{self.axis}PA{position_um:.4f}")
        self.check()
        deadline = time.monotonic() + timeout_s
        while not self._number(f"{self.axis}MD?"):
            if time.monotonic() > deadline:
                self.stop()
                raise AxisError(f"axis {self.axis} at {self._link.path} is not at {position_um} µm after {timeout_s} s")
            time.sleep(POLL_S)
        self.check()
        reached = self.position_um()
        if abs(reached - position_um) > ARRIVED_UM:
            raise AxisError(f"axis {self.axis} at {self._link.path} stands at {reached} µm, not at {position_um} µm")

    def stop(self) -> None:
        """Stop the axis where it is."""
        self._send(f"{self.axis}ST")

    def check(self) -> None:
        """Raise :class:`AxisError` when the controller has an error to report."""
        code = int(self._number("TE?"))
        if code:
            self._drain_errors()
            raise AxisError(f"motion controller at {self._link.path}: {describe(code)}")

    def _drain_errors(self) -> None:
        """Read the controller's error queue empty (errors of an earlier user are not ours)."""
        for _ in range(32):
            if not int(self._number("TE?")):
                return
        raise AxisError(f"motion controller at {self._link.path} reports errors without end")

    def _send(self, command: str) -> None:
        self._link.write(command.encode("ascii") + b"\r")

    def _number(self, query: str) -> float:
        answer = self._ask(query)
        try:
            return float(answer)
        except ValueError as error:
            raise AxisError(f"motion controller at {self._link.path} answered {answer!r:.60} to {query}") from error

    def _ask(self, query: str) -> str:
        self._buffer = b""
        self._link.read()
        self._send(query)
        deadline = time.monotonic() + ANSWER_S
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or len(self._buffer) > 256:
                raise AxisError(
                    f"motion controller at {self._link.path} did not answer {query}; "
                    "is it powered, and is this its port?"
                )
            self._buffer += self._link.read(left)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("ascii", "replace").strip()
