"""A motion controller's port that answers each request with the next line of given bytes, whatever was asked."""

from __future__ import annotations

from types import TracebackType
from typing import Final
from unittest import mock

from firmware_bridge.motion import line
from firmware_bridge.motion.axis import AxisError

#: Answers to one input; a driver that goes on asking is stopped by silence.
MAX_REQUESTS: Final = 40


class AnyAnswers:
    """Context manager: inside it, ports opened by path give these bytes, a line per request."""

    path: Final = "port"

    def __init__(self, data: bytes) -> None:
        self._lines = data.splitlines(keepends=True)
        self._ready = b""
        self._requests = 0
        self._patch = mock.patch.object(line, "SerialLink", return_value=self)

    def __enter__(self) -> AnyAnswers:
        self._patch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._patch.stop()

    def read(self, timeout_s: float = 0.0) -> bytes:
        """The answer; none ever comes when the bytes are used up."""
        data, self._ready = self._ready, b""
        if timeout_s and not data:
            raise AxisError("nothing more comes")
        return data

    def write(self, _data: bytes) -> None:
        """A request."""
        self._requests += 1
        if self._requests > MAX_REQUESTS:
            raise AxisError("too many requests")
        self._ready = self._lines.pop(0) if self._lines else b""

    def close(self) -> None:
        """Nothing is open."""
