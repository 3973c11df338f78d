"""What every motion axis can do, and the part of it that is the same for every controller."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Final, Literal, Protocol

Limit = Literal["", "lower", "upper"]

#: How often a waiting call looks, s.
POLL_S: Final = 0.01
#: A position is believed when this many readings in a row agree; tried so often.
READINGS: Final = 3
ROUNDS: Final = 4
#: By how much the readings of a resting axis may differ, as a fraction of what counts as arrived.
JITTER: Final = 0.2


class AxisError(RuntimeError):
    """An axis refused, failed or did not answer. The text names controller, axis and meaning, and says what to do.

    ``number`` is the controller's own error number, 0 where it gave none.
    """

    def __init__(self, text: str, number: int = 0) -> None:
        super().__init__(text)
        self.number = number


@dataclass(frozen=True)
class AxisStatus:
    """How an axis stands. ``limit`` names the hardware limit switch that is hit; ``error`` is '' or the last error."""

    position: float
    moving: bool
    homed: bool
    limit: Limit
    error: str


class Axis(Protocol):
    """One motion axis; positions in :attr:`unit` (um or mrad).

    Every call is bounded in time. All raise :class:`AxisError`, or ``LinkError`` when the device is gone. Axes of one
    controller share its port: use them from one thread.
    """

    @property
    def unit(self) -> str:
        """Unit of every position: 'um' or 'mrad'."""
        ...

    def position(self) -> float:
        """Where the axis is, as its controller counts."""
        ...

    def start_move(self, target: float) -> None:
        """Begin a move and return. Refused without a word to the controller beyond :meth:`limits`."""
        ...

    def moving(self) -> bool:
        """True while the axis moves or homes; one short request."""
        ...

    def move_to(self, target: float, timeout_s: float = 60.0) -> None:
        """Move there and wait. The axis is stopped and the call fails when it has not arrived in ``timeout_s``."""
        ...

    def start_home(self) -> None:
        """Begin to look for the home switch and return."""
        ...

    def home(self, timeout_s: float = 120.0) -> None:
        """Find the home switch and count from there."""
        ...

    def stop(self) -> None:
        """Stop the axis where it is."""
        ...

    def limits(self) -> tuple[float, float]:
        """Soft limits: the lowest and the highest position :meth:`start_move` accepts."""
        ...

    def status(self) -> AxisStatus:
        """All there is to say, in a few requests."""
        ...


class DrivenAxis(ABC):
    """Soft limits, waiting and believing read-back, on top of what a controller can do.

    ``label`` names axis and controller in every error; ``arrived`` is how near the target counts as there, and
    ``speed`` the most the axis covers in a second.
    """

    def __init__(self, label: str, unit: str, limits: tuple[float, float], arrived: float, speed: float) -> None:
        self.label = label
        self._speed = speed
        self._unit = unit
        self._limits = limits
        self._arrived = arrived

    @property
    def unit(self) -> str:
        """Unit of every position: 'um' or 'mrad'."""
        return self._unit

    def limits(self) -> tuple[float, float]:
        """Soft limits."""
        return self._limits

    def position(self) -> float:
        """Where the axis is. One reading counts for nothing: serial answers have no checksum."""
        jitter = self._arrived * JITTER
        for _ in range(ROUNDS):
            begun = time.monotonic()
            readings = [self._read_position() for _ in range(READINGS)]
            apart = max(readings) - min(readings)
            if apart <= jitter:
                return readings[-1]
            if apart <= jitter + self._speed * (time.monotonic() - begun) and self.moving():
                return readings[-1]
        raise AxisError(
            f"{self.label}: its position readings do not agree (last {', '.join(f'{x:g}' for x in readings)} "
            f"{self._unit}); check cable and shielding"
        )

    def start_move(self, target: float) -> None:
        """Begin a move and return."""
        lower, upper = self._limits
        if not lower <= target <= upper:
            raise AxisError(
                f"{self.label}: {target:g} {self._unit} is outside its soft limits {lower:g} to {upper:g} "
                f"{self._unit}; nothing was sent. Choose a position inside"
            )
        self._go(target)

    def move_to(self, target: float, timeout_s: float = 60.0) -> None:
        """Move there and wait until the axis stands."""
        self.start_move(target)
        self._wait(timeout_s, f"at {target:g} {self._unit}")
        reached = self.position()
        if abs(reached - target) > self._arrived:
            raise AxisError(
                f"{self.label}: stands at {reached:g} {self._unit}, not at {target:g} {self._unit}"
                f"{self._why_short()}; check what blocks it, then home it"
            )

    def home(self, timeout_s: float = 120.0) -> None:
        """Find the home switch and count from there."""
        self.start_home()
        self._wait(timeout_s, "home")
        self._confirm_home()

    def _wait(self, timeout_s: float, goal: str) -> None:
        deadline = time.monotonic() + timeout_s
        while self.moving():
            if time.monotonic() > deadline:
                self.stop()
                raise AxisError(
                    f"{self.label}: not {goal} after {timeout_s:g} s and stopped{self._why_short()}; "
                    "is it blocked, or slower than that?"
                )
            time.sleep(POLL_S)
        self._raise_errors()

    @abstractmethod
    def moving(self) -> bool:
        """True while the axis moves or homes."""

    @abstractmethod
    def start_home(self) -> None:
        """Begin to look for the home switch and return."""

    @abstractmethod
    def stop(self) -> None:
        """Stop the axis where it is."""

    @abstractmethod
    def status(self) -> AxisStatus:
        """All there is to say."""

    @abstractmethod
    def _read_position(self) -> float:
        """One reading."""

    @abstractmethod
    def _go(self, target: float) -> None:
        """Send the move; the target is inside the soft limits."""

    @abstractmethod
    def _raise_errors(self) -> None:
        """Raise what the controller has to report about this axis."""

    @abstractmethod
    def _confirm_home(self) -> None:
        """Raise when homing ended without a home position."""

    @abstractmethod
    def _why_short(self) -> str:
        """Why the axis may have stopped early, with a leading separator; '' when nothing shows."""
