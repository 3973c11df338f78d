"""An emulated motion controller behind the driver's port whose answers a fuzzer damages."""

from __future__ import annotations

from types import TracebackType
from typing import Final, Protocol
from unittest import mock

from firmware_bridge.motion import line
from firmware_bridge.motion.axis import AxisError
from tests.fuzz.portions import Portions

#: Requests of one input; a driver that goes on asking is stopped by silence.
MAX_REQUESTS: Final = 100
#: Time between requests as the emulated controller sees it, s.
STEP_S: Final = 0.05


class Device(Protocol):
    """An emulated controller."""

    def step(self, received: bytes, now_s: float) -> bytes:
        """Handle bytes at a time."""


class DamagedAnswers:
    """Context manager: inside it, ports opened by path lead to ``device``; the script says what happens to its answers.

    When the script has ended they come whole.
    """

    path: Final = "port"

    def __init__(self, device: Device, script: Portions) -> None:
        self._device = device
        self._script = script
        self._ready = b""
        self._requests = 0
        # The emulated controller's time goes on with each request: nobody needs to sleep.
        self._patches = (mock.patch.object(line, "SerialLink", return_value=self), mock.patch("time.sleep"))

    def __enter__(self) -> DamagedAnswers:
        for patch in self._patches:
            patch.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for patch in self._patches:
            patch.stop()

    def read(self, timeout_s: float = 0.0) -> bytes:
        """The answer, once."""
        data, self._ready = self._ready, b""
        if timeout_s and not data:
            raise AxisError("nothing more comes")
        return data

    def write(self, data: bytes) -> None:
        """A request."""
        self._requests += 1
        if self._requests > MAX_REQUESTS:
            raise AxisError("too many requests")
        answer = bytearray(self._device.step(data, self._requests * STEP_S))
        how = self._script.byte() % 8
        if how == 1:
            answer[:] = self._script.chunk()
        elif how == 2 and answer:
            answer[self._script.byte() % len(answer)] ^= self._script.byte()
        elif how == 3:
            answer += self._script.chunk() + b"\r\n"
        elif how == 4:
            answer.clear()
        self._ready += bytes(answer)

    def close(self) -> None:
        """Nothing is open."""
