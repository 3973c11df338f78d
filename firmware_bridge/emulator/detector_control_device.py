"""The detector's command port as its firmware sees it: bytes in, bytes out, time given from outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from firmware_bridge import detector_control_lines as wire
from firmware_bridge.detector_format import firmware_text
from firmware_bridge.detector_settings import ROW_BINNINGS, DetectorSettings, SettingsError
from firmware_bridge.emulator.detector_device import FIRMWARE

NAME: Final = "Darklane emulated detector"
#: Temperature as it should be, with the cooling gone, and where the stream stops, °C.
NORMAL_C: Final = 31.5
HOT_C: Final = 78.0
LIMIT_C: Final = 70.0


class _Refusal(Exception):  # noqa: N818 - becomes an answer
    """A request that is answered with a reason."""


@dataclass
class DetectorControlDevice:
    """Settings and state of the detector behind one connection at a time. Call :meth:`step` often.

    ``streaming``: whoever makes the frames sends them only while it is True, and counts them in ``frames_sent``.
    ``binnings``: what the sensor behind it can do; others are refused. A real detector streams from power-up too.
    """

    FAULTS: ClassVar[tuple[str, ...]] = ("overheat", "mute")

    settings: DetectorSettings
    streaming: bool = True
    binnings: tuple[int, ...] = ROW_BINNINGS
    protocol: int = wire.PROTOCOL
    temperature_c: float = field(default=NORMAL_C, init=False)
    fault: str = field(default="", init=False)
    frames_sent: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._mute = False
        self.new_connection()

    def new_connection(self) -> None:
        """A lane has connected: half a line of the one before is forgotten."""
        self._splitter = wire.LineSplitter()
        self._greeted = False

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Make one of FAULTS happen; 0 heals it (the fault of an overheated detector still needs a reset)."""
        if fault == "overheat":
            self.temperature_c = HOT_C if value else NORMAL_C
            if value:
                self.fault, self.streaming = "over-temperature", False
        elif fault == "mute":
            self._mute = bool(value)
        else:
            raise ValueError(f"emulated detector has no fault {fault!r}; it has {', '.join(self.FAULTS)}")

    def step(self, received: bytes, now_s: float) -> bytes:
        """Handle ``received``; returns what to send. Nothing here depends on ``now_s`` yet every device takes it."""
        if self._mute:
            return b""
        try:
            lines = self._splitter.feed(received)
        except wire.LineError as error:
            return _answer(0, error=str(error))
        return b"".join(self._handle(line) for line in lines)

    def _handle(self, line: bytes) -> bytes:
        try:
            request = wire.parse(line)
        except wire.LineError as error:
            return _answer(0, error=str(error))
        number = request.pop("id", None)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 < number <= wire.MAX_ID:
            return _answer(0, error=f"id must be a number from 1 to {wire.MAX_ID}")
        try:
            return _answer(number, result=self._carry_out(request))
        except (_Refusal, SettingsError) as refusal:
            return _answer(number, error=str(refusal))

    def _carry_out(self, request: dict[str, object]) -> dict[str, object]:
        command = request.pop("command", None)
        arguments = {"hello": {"protocol"}, "configure": {"settings"}}.get(str(command), set())
        if command not in wire.COMMANDS:
            raise _Refusal(f"no command {command!r:.40}; there are {', '.join(wire.COMMANDS)}")
        if set(request) != arguments:
            raise _Refusal(f"{command} takes {sorted(arguments)}, not {sorted(request)!r:.80}")
        if command == "hello":
            protocol = request["protocol"]
            self._greeted = protocol == self.protocol and not isinstance(protocol, bool)
            return {"protocol": self.protocol, "firmware": firmware_text(FIRMWARE), "name": NAME}
        if not self._greeted:
            raise _Refusal(f"say hello with protocol {self.protocol} first")
        if command == "configure":
            self._configure(DetectorSettings.from_dict(request["settings"]))
        actions: dict[object, Callable[[], None]] = {
            "start": self._start,
            "stop": self._stop,
            "reset_fault": self._reset_fault,
        }
        if command in actions:
            actions[command]()
        if command == "settings":
            return {"settings": self.settings.as_dict()}
        return self._status() if command == "status" else {}

    def _configure(self, settings: DetectorSettings) -> None:
        if self.streaming:
            raise _Refusal("it is streaming; stop it first")
        if settings.row_binning not in self.binnings:
            raise _Refusal(f"row_binning {settings.row_binning} is not one of {self.binnings} on this detector")
        self.settings = settings

    def _start(self) -> None:
        if self.fault:
            raise _Refusal(f"{self.fault}: remove the cause, then reset_fault")
        self.streaming = True

    def _stop(self) -> None:
        self.streaming = False

    def _reset_fault(self) -> None:
        if self.temperature_c >= LIMIT_C:
            raise _Refusal(f"still {self.temperature_c:g} °C, the limit is {LIMIT_C:g} °C; let it cool")
        self.fault = ""

    def _status(self) -> dict[str, object]:
        return {
            "streaming": self.streaming,
            "temperature_c": self.temperature_c,
            "firmware": firmware_text(FIRMWARE),
            "frames_sent": self.frames_sent,
            "fault": self.fault,
            "settings": self.settings.as_dict(),
        }


def _answer(number: int, *, result: dict[str, object] | None = None, error: str = "") -> bytes:
    if result is None:
        return wire.encode({"id": number, "ok": False, "error": error})
    return wire.encode({"id": number, "ok": True, "result": result})
