"""What passes between the bridge's loop and the threads that talk to devices: jobs one way, notes the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.bridge.raw import RawEvent
from edge.messages import DeviceCommand, DeviceState

#: Actions that make something safe: never refused for being busy, and they end what their device is doing.
STOPS = frozenset({"belt_stop", "stop_motion", "beam_off"})
#: Actions that take a while, and how long at most, s.
LIMITS_S: Mapping[str, float] = {
    "move": 60.0,
    "home": 120.0,
    "warm_up": 1800.0,
    "beam_on": 30.0,
    "beam_off": 10.0,
    "detector_configure": 10.0,
    "detector_start": 10.0,
    "detector_stop": 10.0,
}


class DeviceGone(OSError):  # noqa: N818 - says what happened
    """The device is not there any more, or does not speak; the text is for people."""


@dataclass(frozen=True)
class Job:
    """One command for one device. ``unit``: the device, e.g. an axis; several may share one connection."""

    number: int
    unit: str
    command: DeviceCommand

    @property
    def action(self) -> str:
        """What is to be done."""
        return self.command.action


@dataclass(frozen=True)
class Outcome:
    """How a job ended, and how its device stands now where that is known."""

    ok: bool
    reason: str = ""
    states: Sequence[DeviceState] = ()


DONE = Outcome(ok=True)


@dataclass(frozen=True)
class Heard:
    """What a device said at one look."""

    events: Sequence[RawEvent] = ()
    states: Sequence[DeviceState] = ()


@dataclass(frozen=True)
class Found:
    """The connection ``name`` was opened."""

    name: str
    detail: str = ""


@dataclass(frozen=True)
class Lost:
    """The connection ``name`` cannot be opened, or was lost."""

    name: str
    reason: str


@dataclass(frozen=True)
class Spoke:
    """The device at connection ``name`` said something; the thread waits until the loop has dealt with it."""

    name: str
    heard: Heard = field(default_factory=Heard)


@dataclass(frozen=True)
class Finished:
    """A job ended."""

    job: Job
    outcome: Outcome


@dataclass(frozen=True)
class Broken:
    """No waiting makes this right; the bridge has to stop."""

    name: str
    error: Exception


Note = Found | Lost | Spoke | Finished | Broken


class Handler(Protocol):
    """One connection: turns jobs into calls of a driver. Lives in a thread of its own; every call may take a second.

    ``OSError`` out of any call: the device is gone. One of :attr:`errors`: it is there and something is wrong.
    """

    #: Name of the connection in events: belt, tube, detector, or that of a motion controller.
    name: str
    #: Devices behind the connection.
    units: tuple[str, ...]
    errors: tuple[type[Exception], ...]
    #: Look at the device this often, s; more often while it carries out something.
    period_s: float

    def open(self) -> str:
        """Connect; returns what was found. Anything that no waiting makes right: :class:`VersionMismatch`."""

    def close(self) -> None:
        """Disconnect, leaving the device safe; never raises."""

    def fileno(self) -> int:
        """Readable when :meth:`poll` should be called; -1 if there is no such thing."""

    def keep_alive(self) -> None:
        """Called every few 100 ms as long as the bridge's loop makes progress."""

    def poll(self) -> Heard:
        """Look at the device."""

    def report(self, unit: str) -> Sequence[DeviceState]:
        """How one device stands now, for the answer to a command; empty where events tell it."""

    def begin(self, job: Job) -> Outcome | None:
        """Start ``job``; None when it takes a while."""

    def advance(self, job: Job) -> Outcome | None:
        """Look after a job that takes a while; None while it goes on."""

    def abort(self, job: Job) -> None:
        """Its time is up: stop it."""


class VersionMismatch(Exception):  # noqa: N818 - says what is wrong
    """Driver and device speak different protocols; the text names both versions."""
