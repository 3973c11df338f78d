"""A serial device that may vanish: pyserial with errors that name the port."""

from __future__ import annotations

import select
from pathlib import Path

import serial


class LinkError(OSError):
    """The serial device cannot be opened, or it went away."""


class SerialLink:
    """Non-blocking bytes over one serial port (or pseudo-terminal). ``name`` says whose port it is in errors."""

    def __init__(self, path: Path, name: str, baud: int = 115_200) -> None:
        self.path = path
        self.name = name
        try:
            self._port = serial.Serial(str(path), baud, timeout=0, write_timeout=2.0, exclusive=True)
        except (serial.SerialException, OSError, ValueError) as error:
            raise LinkError(
                f"{name} at {path}: cannot be opened ({error}); is it plugged in, and is no other program using it?"
            ) from error

    def fileno(self) -> int:
        """File descriptor for polling."""
        return self._port.fileno()

    def read(self, timeout_s: float = 0.0) -> bytes:
        """What has arrived, waiting at most ``timeout_s`` for the first byte."""
        try:
            ready, _, _ = select.select([self._port.fileno()], [], [], timeout_s)
            return bytes(self._port.read(4096)) if ready else b""
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkError(f"{self.name} at {self.path} went away ({error})") from error

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        try:
            self._port.write(data)
        except (serial.SerialException, OSError, TypeError) as error:
            raise LinkError(f"{self.name} at {self.path} does not take data ({error})") from error

    def close(self) -> None:
        """Give the port back."""
        self._port.close()
