"""Requests and answers, line by line, over a serial port or a TCP connection; every wait is bounded."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from firmware_bridge.motion.axis import AxisError
from firmware_bridge.serial_link import LinkError, SerialLink

ANSWER_S: Final = 1.0
CONNECT_S: Final = 2.0
MAX_LINE: Final = 256
_TCP: Final = "tcp://"


class TcpStream:
    """Bytes over one TCP connection, with the errors of a serial line."""

    def __init__(self, address: str, name: str) -> None:
        self._where = f"{name} at {address}"
        host, _, port = address.removeprefix(_TCP).rpartition(":")
        if not host or not port.isdigit():
            raise LinkError(f"{self._where}: the port must read tcp://host:number")
        try:
            self._socket = socket.create_connection((host.strip("[]"), int(port)), CONNECT_S)
        except (OSError, OverflowError) as error:
            raise LinkError(
                f"{self._where}: cannot be reached ({error}); is it powered, and is this its address?"
            ) from error

    def read(self, timeout_s: float = 0.0) -> bytes:
        """What has arrived, waiting at most ``timeout_s`` for the first byte."""
        try:
            ready, _, _ = select.select([self._socket], [], [], timeout_s)
            data = self._socket.recv(4096) if ready else None
        except (OSError, ValueError) as error:
            raise LinkError(f"{self._where} went away ({error})") from error
        if data == b"":
            raise LinkError(f"{self._where} went away (connection closed)")
        return data or b""

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LinkError(f"{self._where} does not take data ({error})") from error

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


class RequestLine:
    """One controller's port: one request at a time, answers matched to it.

    ``hello`` is a harmless request whose answer ``is_hello`` recognises. After a silent or unreadable answer the line
    asks it first and skips lines until its answer comes, so that a late answer is never taken for another request's.
    """

    def __init__(
        self, port: str | Path, name: str, *, baud: int, end: bytes, hello: str, is_hello: Callable[[str], bool]
    ) -> None:
        text = str(port)
        self.where = f"{name} at {text}"
        self.is_tcp = text.startswith(_TCP)
        self._stream = TcpStream(text, name) if self.is_tcp else SerialLink(Path(text), name, baud=baud)
        #: Sent before every command.
        self.head = b""
        self._end = end
        self._hello = hello
        self._is_hello = is_hello
        self._buffer = b""
        #: False while an answer may still be under way that nobody waits for.
        self.in_step = False

    def close(self) -> None:
        """Give the port back."""
        self._stream.close()

    def send(self, text: str) -> None:
        """Send a command that has no answer."""
        self._stream.write(self.head + text.encode("ascii") + self._end)

    def ask(self, text: str, skip: Callable[[str], bool] = lambda _: False) -> str:
        """The answer to ``text``, lines for which ``skip`` is true passed by. :class:`AxisError` when none comes."""
        if not self.in_step:
            self.greet()
        return self._ask(text, skip)

    def lost(self, request: str, answer: str, expected: str) -> AxisError:
        """The error for an answer that makes no sense; the next request will get in step first."""
        self.in_step = False
        return AxisError(f"{self.where} answered {answer!r:.60} to {request}, not {expected}; check cable and port")

    def greet(self) -> None:
        """Get in step with the controller; :class:`AxisError` when it is not the kind that was expected."""
        self._ask(self._hello, lambda line: not self._is_hello(line))

    def _ask(self, text: str, skip: Callable[[str], bool]) -> str:
        self.in_step = False
        self._clear()
        self.send(text)
        deadline = time.monotonic() + ANSWER_S
        line = self._line(text, deadline)
        while skip(line):
            line = self._line(text, deadline)
        self.in_step = True
        return line

    def _clear(self) -> None:
        self._buffer = b""
        for _ in range(16):  # a device that babbles without end must not hold us
            if not self._stream.read():
                return

    def _line(self, request: str, deadline: float) -> str:
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise AxisError(
                    f"{self.where} did not answer {request} within {ANSWER_S:g} s; is it powered, and is this its port?"
                )
            if b"\n" in self._buffer:
                break
            if len(self._buffer) > MAX_LINE:
                raise self.lost(request, self._buffer.decode("ascii", "replace"), "a line")
            self._buffer += self._stream.read(left)
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode("ascii", "replace").strip(" \r")
