"""The mechanics of one motor-driven stage: speed, limit switches, a home switch and what can go wrong with them.

Controllers (:mod:`esp_device`, :mod:`aries_device`) drive it; time is given from outside. Positions are where the stage
really is, in :attr:`Stage.unit`, whatever its controller counts.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

#: Faults that :meth:`Stage.inject` knows.
STAGE_FAULTS: Final = ("stuck", "limit", "drive_fault")
#: Homing goes this far beyond the switch, as seconds of travel, and comes back at this fraction of the speed.
_OVERRUN_S: Final = 0.05
_SLOW: Final = 0.2


@dataclass
class Stage:
    """One stage. ``closed_loop``: an encoder holds it where it is told to be; otherwise lost steps stay lost.

    ``travel`` is what its maker allows, ``switches`` are where the limit switches sit, ``home_switch`` where the home
    switch changes (it is active below).
    """

    position: float = 0.0
    velocity: float = 400.0
    travel: tuple[float, float] = (-500.0, 500.0)
    switches: tuple[float, float] = (-550.0, 550.0)
    home_switch: float = 0.0
    unit: str = "um"
    closed_loop: bool = True
    powered: bool = False
    homed: bool = False
    homing: bool = False
    #: What happened since the controller last looked: 'upper' or 'lower' (switch hit), 'drive_fault', 'homed'.
    events: deque[str] = field(default_factory=deque)
    #: Where the controller wants it at this moment; differs from ``position`` by steps lost or following error.
    commanded: float = field(init=False)
    _stuck: bool = False
    _drive_fault: bool = False
    _forced_limit: int = 0
    _legs: deque[tuple[float, float]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.commanded = self.position

    @property
    def at_rest(self) -> bool:
        """True when it stands where it was sent."""
        return not self._legs and not (self.closed_loop and self.powered and self.position != self.commanded)

    @property
    def limit(self) -> str:
        """The limit switch that is active: '', 'upper' or 'lower'."""
        if self._forced_limit:
            return "upper" if self._forced_limit > 0 else "lower"
        low, high = self.switches
        return "upper" if self.position >= high else "lower" if self.position <= low else ""

    @property
    def target(self) -> float:
        """Where ``commanded`` will end."""
        return self._legs[-1][0] if self._legs else self.commanded

    @property
    def at_home(self) -> bool:
        """True when the home switch is active."""
        return self.position <= self.home_switch

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Break something, or heal it with ``value`` 0. 'limit': the sign of ``value`` chooses the switch."""
        if fault == "stuck":
            self._stuck = bool(value)
        elif fault == "limit":
            self._forced_limit = 0 if value == 0 else int(math.copysign(1, value))
        elif fault == "drive_fault":
            self._drive_fault = bool(value)
            if value:
                self.power(False)
                self.events.append("drive_fault")
        else:
            raise ValueError(f"fault {fault!r}: a stage knows {', '.join(STAGE_FAULTS)}")

    def power(self, on: bool) -> bool:
        """Switch the motor; returns whether it is on. A broken drive stays off."""
        if not on:
            self.halt()
        self.powered = on and not self._drive_fault
        return self.powered

    def move(self, target: float) -> None:
        """Go to ``target`` (where ``commanded`` shall end), from wherever it is."""
        self.homing = False
        self._legs = deque([(target, self.velocity)])

    def find_home(self) -> None:
        """Look for the home switch: beyond it on its active side, then slowly to where it changes."""
        edge = self.home_switch + self.commanded - self.position
        overrun = self.velocity * _OVERRUN_S
        self.homed, self.homing = False, True
        self._legs = deque([(edge - overrun, self.velocity), (edge, self.velocity * _SLOW)])

    def halt(self) -> None:
        """Stop here."""
        self._legs.clear()
        self.homing = False
        if self.closed_loop:
            self.commanded = self.position

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        if self.homing and self._stuck:
            return  # it never sees its switch
        while self._legs and seconds > 0:
            goal, speed = self._legs[0]
            way = goal - self.commanded
            needed = abs(way) / speed
            taken = min(seconds, needed)
            seconds -= taken
            step = way if taken == needed else math.copysign(speed * taken, way)
            if not self._drive(step):
                return
            if taken == needed:
                self.commanded = goal
                self._legs.popleft()
                self._finish()
        if self.closed_loop and self.powered and not self._stuck:
            self.position = self.commanded

    def _drive(self, step: float) -> bool:
        """Move by ``step``; False when a limit switch ends the motion."""
        room = math.inf
        if step and self._forced_limit == math.copysign(1, step):
            room = 0.0
        elif step and not self._stuck:
            room = max(0.0, (self.switches[1] - self.position) if step > 0 else (self.position - self.switches[0]))
        hit = abs(step) > room
        step = math.copysign(min(abs(step), room), step)
        self.commanded += step
        if not self._stuck:
            self.position = self.commanded if self.closed_loop else self.position + step
        if hit:
            self.events.append("upper" if math.copysign(1, step) > 0 else "lower")
            self.halt()
        return not hit

    def _finish(self) -> None:
        if not self._legs and self.homing:
            self.homing, self.homed = False, True
            self.events.append("homed")


def mask_stage(position: float = 0.0) -> Stage:
    """A mask translator, µm."""
    return Stage(position)


def sample_stage(position: float = 0.0) -> Stage:
    """The sample translator, µm: longer and faster."""
    return Stage(position, 20_000.0, (-300_000.0, 300_000.0), (-305_000.0, 305_000.0))


def goniometer(position: float = 0.0) -> Stage:
    """A mask goniometer, mrad: a stepper without an encoder."""
    return Stage(position, 10.0, (-20.0, 20.0), (-25.0, 25.0), unit="mrad", closed_loop=False, powered=True)
