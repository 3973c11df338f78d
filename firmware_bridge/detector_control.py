"""Driver of the detector's command port: settings, start, stop, state. The packet stream itself is detector.py."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, TypeVar

from firmware_bridge import detector_control_lines as wire
from firmware_bridge.detector_settings import DetectorSettings, SettingsError
from firmware_bridge.serial_link import LinkError

__all__ = [
    "DetectorControl",
    "DetectorControlError",
    "DetectorRefused",
    "DetectorSettings",
    "DetectorStatus",
    "DetectorVersionError",
    "LinkError",
    "SettingsError",
]

_T = TypeVar("_T")
_LOG = logging.getLogger(__name__)
#: Time to connect, and to answer one request, s.
CONNECT_S: Final = 2.0
ANSWER_S: Final = 2.0


class DetectorControlError(RuntimeError):
    """The detector does not answer as it should; the text names its address and what to do."""


class DetectorVersionError(DetectorControlError):
    """Driver and detector speak different protocols; the text names both versions."""


class DetectorRefused(DetectorControlError):  # noqa: N818 - a refusal is not a fault
    """The detector refused a request; the text is its reason."""


@dataclass(frozen=True)
class DetectorStatus:
    """State of the detector. ``fault`` is empty when none; ``frames_sent`` counts since its power-up."""

    streaming: bool
    temperature_c: float
    firmware: str
    settings: DetectorSettings
    fault: str
    frames_sent: int


class DetectorControl:
    """The detector at ``host:port``. Connecting checks the versions and changes nothing.

    Every request ends within ANSWER_S. After a :class:`LinkError` or an answer that makes no sense the connection
    is closed: make a new object. A refusal leaves it open.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._splitter = wire.LineSplitter()
        self._id = 0
        try:
            self._socket = socket.create_connection((host, port), timeout=CONNECT_S)
        except OSError as error:
            raise LinkError(
                f"detector control at {host}:{port}: no connection ({error}); is it powered, and is this its address?"
            ) from error
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer = self._request("hello", protocol=wire.PROTOCOL)
            if answer.get("protocol") != wire.PROTOCOL:
                raise DetectorVersionError(
                    f"{self._where}: it speaks protocol {answer.get('protocol')!r:.20} (firmware "
                    f"{answer.get('firmware')!r:.20}), this driver {wire.PROTOCOL}; update the older of the two"
                )
            self.firmware = _typed(answer, "firmware", str)
            self.name = _typed(answer, "name", str)
        except _Unreadable as error:
            self.close()
            raise self._nonsense("hello", error) from error
        except BaseException:
            self.close()
            raise
        _LOG.info("%s: %s, firmware %s", self._where, self.name, self.firmware)

    def __enter__(self) -> DetectorControl:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back; the detector goes on with what it does."""
        self._socket.close()

    def configure(self, settings: DetectorSettings) -> None:
        """Set everything and read it back. Refused while streaming; an error names what reads back differently."""
        self._request("configure", settings=settings.as_dict())
        answer = self._request("settings")
        try:
            read = DetectorSettings.from_dict(answer.get("settings")).as_dict()
        except SettingsError as error:
            raise self._nonsense("settings", error) from error
        differs = [
            f"{name} was set to {value}, reads back {read[name]}"
            for name, value in settings.as_dict().items()
            if read[name] != value
        ]
        if differs:
            raise DetectorControlError(f"{self._where}: {'; '.join(differs)}; do not scan with it")

    def start(self) -> None:
        """Start the packet stream; :class:`DetectorRefused` while there is a fault."""
        self._request("start")

    def stop(self) -> None:
        """Stop the packet stream; nothing happens when it has stopped already."""
        self._request("stop")

    def reset_fault(self) -> None:
        """Clear the fault; the stream stays stopped. :class:`DetectorRefused` while its cause is there."""
        self._request("reset_fault")

    def status(self) -> DetectorStatus:
        """Ask for everything."""
        answer = self._request("status")
        try:
            return DetectorStatus(
                streaming=_typed(answer, "streaming", bool),
                temperature_c=_finite(answer, "temperature_c"),
                firmware=_typed(answer, "firmware", str),
                settings=DetectorSettings.from_dict(answer.get("settings")),
                fault=_typed(answer, "fault", str),
                frames_sent=_typed(answer, "frames_sent", int),
            )
        except (SettingsError, _Unreadable) as error:
            raise self._nonsense("status", error) from error

    @property
    def _where(self) -> str:
        return f"detector control at {self.host}:{self.port}"

    def _request(self, command: str, **arguments: object) -> dict[str, object]:
        """One request and its answer; a refusal is an exception."""
        self._id = self._id % wire.MAX_ID + 1
        self._send(wire.encode({"id": self._id, "command": command, **arguments}))
        try:
            answer = self._answer(command)
            if answer.get("ok") is True:
                result = answer.get("result")
                if isinstance(result, dict) and set(answer) == {"id", "ok", "result"}:
                    return result
                raise _Unreadable("result is missing")
            if answer.get("ok") is not False or set(answer) != {"id", "ok", "error"}:
                raise _Unreadable("neither ok nor refused")
            reason = _typed(answer, "error", str)
        except (wire.LineError, _Unreadable) as error:
            raise self._nonsense(command, error) from error
        raise DetectorRefused(f"{self._where} refused {command}: {reason}")

    def _answer(self, command: str) -> dict[str, object]:
        deadline = time.monotonic() + ANSWER_S
        while (left := deadline - time.monotonic()) > 0:
            for line in self._splitter.feed(self._receive(left)):
                answer = wire.parse(line)
                if answer.get("id") != self._id:
                    raise _Unreadable(f"it answers request {answer.get('id')!r:.20}, not {self._id}")
                return answer
        self.close()
        raise DetectorControlError(
            f"{self._where} did not answer {command} within {ANSWER_S:g} s; is it powered, and is this its port?"
        )

    def _send(self, line: bytes) -> None:
        try:
            self._socket.settimeout(ANSWER_S)
            self._socket.sendall(line)
        except OSError as error:
            raise self._gone(error) from error

    def _receive(self, timeout_s: float) -> bytes:
        try:
            self._socket.settimeout(timeout_s)
            data = self._socket.recv(wire.MAX_LINE)
        except TimeoutError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone("the detector closed the connection")
        return data

    def _gone(self, cause: object) -> LinkError:
        self.close()
        return LinkError(f"{self._where}: connection lost ({cause}); connect again when it is back")

    def _nonsense(self, command: str, cause: object) -> DetectorControlError:
        with contextlib.suppress(OSError):
            self.close()
        return DetectorControlError(
            f"{self._where}: its answer to {command} makes no sense ({cause}); is this the detector's command port?"
        )


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    """An answer is not what its request asks for."""


def _typed(answer: dict[str, object], key: str, kind: type[_T]) -> _T:
    value = answer.get(key)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Unreadable(f"{key} is {value!r:.40}, not {kind.__name__}")
    return value


def _finite(answer: dict[str, object], key: str) -> float:
    value = answer.get(key)
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass  # JSON has whole numbers of any length
    raise _Unreadable(f"{key} is {value!r:.40}, not a number")
