"""The axes of one motion controller as the bridge's threads see them: moves are started and looked after."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

from edge.bridge.jobs import DONE, Heard, Job, Outcome
from edge.messages import DeviceState
from firmware_bridge.motion import AxisError

#: An axis must stand within this of where it was sent, by unit.
ARRIVED: Mapping[str, float] = {"um": 0.5, "mrad": 0.01}


class Status(Protocol):
    """What an axis says of itself."""

    @property
    def position(self) -> float:
        """In the axis' unit."""

    @property
    def moving(self) -> bool:
        """Whether it moves or homes."""

    @property
    def homed(self) -> bool:
        """Whether its positions mean anything."""

    @property
    def limit(self) -> str:
        """Limit switch that it stands on: lower, upper or empty."""

    @property
    def error(self) -> str:
        """In words; empty when there is none."""


class Axis(Protocol):
    """The part of :class:`firmware_bridge.motion.Axis` that the bridge uses."""

    def start_move(self, target: float) -> None:
        """Start to move there."""

    def start_home(self) -> None:
        """Start to look for the reference position."""

    def moving(self) -> bool:
        """Whether it moves or homes."""

    def stop(self) -> None:
        """Stop where it is."""

    def limits(self) -> tuple[float, float]:
        """Soft limits."""

    def status(self) -> Status:
        """Everything."""


class Axes(Protocol):
    """The part of :class:`firmware_bridge.motion.axes.Axes` that the bridge uses."""

    def __iter__(self) -> Iterator[str]:
        """Names of the axes."""

    def __getitem__(self, name: str) -> Axis:
        """One axis."""

    def close(self) -> None:
        """Give the port back; the axes hold their positions."""


class AxesHandler:
    """All axes of one controller: they move at the same time, their requests go one after the other."""

    errors: tuple[type[Exception], ...] = (AxisError,)
    period_s = 0.5

    def __init__(self, name: str, units: Mapping[str, str], opener: Callable[[], Axes]) -> None:
        """``units``: unit of each axis by its name. ``opener``: the axes by name, on one port."""
        self.name = name
        self.units = tuple(units)
        self._unit_of = units
        self._open = opener
        self._axes: Axes | None = None
        self._next = 0

    def open(self) -> str:
        """Connect to the controller of all the axes."""
        self._axes = self._open()
        self._next = 0
        return ", ".join(self._axes)

    @property
    def axes(self) -> Axes:
        """The open axes."""
        assert self._axes is not None
        return self._axes

    def close(self) -> None:
        """Give the port back; the axes hold their positions."""
        axes, self._axes = self._axes, None
        if axes is not None:
            axes.close()

    def fileno(self) -> int:
        """It speaks only when asked."""
        return -1

    def keep_alive(self) -> None:
        """It has no watchdog."""

    def poll(self) -> Heard:
        """One axis at a time, so that a look never takes long; all of them at the first look."""
        names = list(self.axes)
        chosen = names if self._next == 0 else [names[self._next % len(names)]]
        self._next += 1
        return Heard(states=tuple(self._state(name) for name in chosen))

    def _state(self, name: str) -> DeviceState:
        now, (lower, upper) = self.axes[name].status(), self.axes[name].limits()
        state = "fault" if now.error else "moving" if now.moving else "idle"
        return DeviceState(
            device=name,
            present=True,
            state=state,
            detail=now.error,
            values={"position": now.position, "lower": lower, "upper": upper},
            facts={
                "unit": self._unit_of[name],
                "homed": "yes" if now.homed else "no",
                "limit": now.limit or "none",
                "controller": self.name,
            },
        )

    def report(self, unit: str) -> Sequence[DeviceState]:
        """One axis."""
        return (self._state(unit),)

    def begin(self, job: Job) -> Outcome | None:
        """A move or a homing goes on; a stop is done at once."""
        axis = self.axes[job.unit]
        self._next = 0
        if job.action == "stop_motion":
            axis.stop()
            return DONE
        if job.action == "move":
            axis.start_move(job.command.target)
        else:
            axis.start_home()
        return None

    def advance(self, job: Job) -> Outcome | None:
        """Whether it stands, and where it should."""
        axis = self.axes[job.unit]
        if axis.moving():
            return None
        self._next = 0
        now = axis.status()
        unit = self._unit_of[job.unit]
        if now.error:
            return Outcome(ok=False, reason=f"{job.action} of {job.unit}: {now.error}")
        if job.action == "home":
            return (
                DONE if now.homed else Outcome(ok=False, reason=f"home of {job.unit}: it found no reference position")
            )
        if abs(now.position - job.command.target) > ARRIVED[unit]:
            limit = f", on its {now.limit} limit switch" if now.limit else ""
            reason = f"move of {job.unit}: it stands at {now.position:g} {unit}{limit}, not at {job.command.target:g}"
            return Outcome(ok=False, reason=reason)
        return DONE

    def abort(self, job: Job) -> None:
        """Stop it where it is."""
        self.axes[job.unit].stop()
