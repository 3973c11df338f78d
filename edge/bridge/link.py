"""The connection to the belt controller: opened again, with back-off, whenever it is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Protocol

from edge.bridge.engine import RawEvent
from firmware_bridge.belt import BeltError, BeltVersionError
from firmware_bridge.belt_packets import HEARTBEAT_TIMEOUT_S

#: Wait between attempts to open the device: doubled up to the longest, s.
FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 2.0
#: The controller drops the clear line when it hears nothing for HEARTBEAT_TIMEOUT_S; say something this often, s.
HEARTBEAT_S = HEARTBEAT_TIMEOUT_S / 4


class Belt(Protocol):
    """The part of :class:`firmware_bridge.belt.BeltController` that the bridge uses. OSError: the device is gone."""

    def fileno(self) -> int:
        """File descriptor to wait on."""

    def poll(self) -> Sequence[RawEvent]:
        """What was received since the last call; never waits."""

    def start_belt(self) -> None:
        """Let the belt run."""

    def stop_belt(self) -> None:
        """Stop the belt."""

    def clear_line(self, encoder_from: int, encoder_to: int) -> None:
        """Energise the clear line between two encoder counts."""

    def heartbeat(self) -> None:
        """Tell the controller that the host lives."""

    def close(self) -> None:
        """Close the device."""


class BeltLink:
    """Holds the open device, or knows when to try again. Times are monotonic seconds."""

    def __init__(self, opener: Callable[[], Belt]) -> None:
        self._open = opener
        self.belt: Belt | None = None
        self.reason = "not opened yet"
        self._wait_s = FIRST_WAIT_S
        self._next_try = 0.0
        self._next_heartbeat = 0.0

    def connect(self, now: float) -> bool:
        """Try to open the device when it is time to; True when it was found just now.

        A controller of another protocol version is a :class:`BeltVersionError`: no waiting makes it right.
        """
        if self.belt is not None or now < self._next_try:
            return False
        try:
            self.belt = self._open()
        except BeltVersionError:
            raise
        except (OSError, BeltError) as error:
            self.reason = str(error)
            self._next_try = now + self._wait_s
            self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
            return False
        self.reason = ""
        self._wait_s = FIRST_WAIT_S
        self._next_heartbeat = now
        return True

    def poll(self) -> Sequence[RawEvent]:
        """Reports of the controller; OSError when it is gone (call :meth:`drop` then)."""
        return self.belt.poll() if self.belt is not None else ()

    def keep_alive(self, now: float) -> None:
        """Send a heartbeat when one is due; OSError when the device is gone."""
        if self.belt is not None and now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_S
            self.belt.heartbeat()

    def drop(self, reason: str, now: float) -> None:
        """Close what is left of a lost device."""
        belt, self.belt = self.belt, None
        self.reason = reason
        self._next_try = now + self._wait_s
        if belt is not None:
            # The device may have gone with unsent bytes; there is nothing left to close then.
            with suppress(OSError):
                belt.close()
