"""The belt controller as the bridge's threads see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edge.bridge.jobs import DONE, DeviceGone, Heard, Job, Outcome, VersionMismatch
from edge.bridge.raw import RawEvent
from edge.messages import DeviceState
from firmware_bridge.belt import BeltError, BeltRefused, BeltVersionError


class Belt(Protocol):
    """The part of :class:`firmware_bridge.belt.BeltController` that the bridge uses. OSError: the device is gone."""

    @property
    def firmware(self) -> tuple[int, int]:
        """Version of the controller's firmware."""

    def fileno(self) -> int:
        """File descriptor to wait on."""

    def poll(self) -> Sequence[RawEvent]:
        """What was received since the last call; never waits. Acknowledges what the last call returned."""

    def start_belt(self) -> None:
        """Let the belt run."""

    def stop_belt(self) -> None:
        """Stop the belt."""

    def clear_line(self, encoder_from: int, encoder_to: int) -> None:
        """Energise the clear line between two encoder counts."""

    def set_lights(self, red: bool, amber: bool, green: bool) -> None:
        """Lamps of the stack light."""

    def reset_estop(self) -> None:
        """Take back an emergency stop whose button is out again."""

    def heartbeat(self) -> None:
        """Tell the controller that the host lives."""

    def close(self) -> None:
        """Close the device."""


class BeltHandler:
    """Belt, light barrier, interlock, emergency stop, clear line, stack light."""

    name = "belt"
    units: tuple[str, ...] = ("belt",)
    errors: tuple[type[Exception], ...] = (BeltError,)
    period_s = 0.1

    def __init__(self, opener: Callable[[], Belt]) -> None:
        self._open = opener
        self._belt: Belt | None = None

    def open(self) -> str:
        """Connect; a controller of another protocol version is a :class:`VersionMismatch`."""
        try:
            self._belt = self._open()
        except BeltVersionError as error:
            raise VersionMismatch(str(error)) from error
        major, minor = self._belt.firmware
        return f"firmware {major}.{minor}"

    def close(self) -> None:
        """Give the port back."""
        belt, self._belt = self._belt, None
        if belt is not None:
            belt.close()

    @property
    def belt(self) -> Belt:
        """The open device."""
        assert self._belt is not None
        return self._belt

    def fileno(self) -> int:
        """Of the serial port."""
        return self.belt.fileno()

    def keep_alive(self) -> None:
        """The controller drops the clear line when it hears nothing."""
        self.belt.heartbeat()

    def poll(self) -> Heard:
        """Events and encoder reports. A controller that is silent, or changed its version, is gone."""
        try:
            return Heard(events=self.belt.poll())
        except BeltError as error:
            raise DeviceGone(str(error)) from error

    def report(self, unit: str) -> Sequence[DeviceState]:
        """Its reports tell."""
        return ()

    def begin(self, job: Job) -> Outcome | None:
        """All its commands are answered at once."""
        command = job.command
        try:
            if command.action == "belt_start":
                self.belt.start_belt()
            elif command.action == "belt_stop":
                self.belt.stop_belt()
            elif command.action == "lights":
                self.belt.set_lights(*command.lights)
            elif command.action == "reset_estop":
                self.belt.reset_estop()
            else:
                self.belt.clear_line(command.encoder_from, command.encoder_to)
        except BeltRefused as error:
            return Outcome(ok=False, reason=str(error))
        except BeltError as error:
            raise DeviceGone(str(error)) from error
        return DONE

    def advance(self, job: Job) -> Outcome | None:
        """Nothing takes a while."""
        return DONE

    def abort(self, job: Job) -> None:
        """Nothing takes a while."""
