"""Detector's command port: lines, settings, the driver's reading of answers, and the emulated port."""

from __future__ import annotations

import json
from contextlib import suppress

from firmware_bridge import detector_control_lines as wire
from firmware_bridge.detector_control import DetectorControl, DetectorControlError
from firmware_bridge.detector_settings import DetectorSettings, SettingsError
from firmware_bridge.emulator.detector_control_device import DetectorControlDevice
from tests.fuzz.portions import Portions

INSTRUMENT = (
    "firmware_bridge.detector_control",
    "firmware_bridge.detector_control_lines",
    "firmware_bridge.detector_settings",
    "firmware_bridge.emulator.detector_control_device",
)
SETTINGS = DetectorSettings((20_000, 50_000), 8_400_000, 4, "192.0.2.1", 7148)
_STATUS = {
    "streaming": True,
    "temperature_c": 31.5,
    "firmware": "1.2.3",
    "frames_sent": 4,
    "fault": "",
    "settings": SETTINGS.as_dict(),
}

_REQUESTS: tuple[dict[str, object], ...] = (
    {"command": "hello", "protocol": wire.PROTOCOL},
    {"command": "stop"},
    {"command": "configure", "settings": SETTINGS.as_dict()},
    {"command": "start"},
    {"command": "status"},
    {"command": "settings"},
    {"command": "reset_fault"},
)

SEEDS = (
    b"\0" + b"".join(wire.encode({"id": number, **request}) for number, request in enumerate(_REQUESTS, 1)),
    b"\1" + wire.encode({"id": 1, "ok": True, "result": _STATUS}),
    b"\1" + wire.encode({"id": 1, "ok": False, "error": "streaming"}),
    b"\1" + wire.encode({"id": 1, "ok": True, "result": {"settings": SETTINGS.as_dict()}}),
    b"\1" + wire.encode({"id": 1, "ok": True, "result": {**_STATUS, "temperature_c": 10**400}}),
    b"\2" + json.dumps(SETTINGS.as_dict()).encode(),
)


def one_input(data: bytes) -> None:
    """Bytes to the emulated port, answers to the driver, or settings."""
    how, rest = data[:1], data[1:]
    if not how or how[0] % 3 == 0:
        _device(Portions(rest))
    elif how[0] % 3 == 1:
        _driver(rest)
    else:
        with suppress(wire.LineError, SettingsError):
            settings = DetectorSettings.from_dict(wire.parse(rest))
            assert DetectorSettings.from_dict(settings.as_dict()) == settings


def _device(script: Portions) -> None:
    device = DetectorControlDevice(SETTINGS)
    while script:
        answers = device.step(script.take(200), 0.0)
        for line in answers.split(b"\n")[:-1]:
            assert wire.parse(line)["ok"] in (True, False)


class _Driver(DetectorControl):
    """The driver with given bytes in place of a connection; they come again for every request."""

    def __init__(self, data: bytes) -> None:
        self.host, self.port = "192.0.2.1", 1
        self._data = data
        self._id = 0

    def _send(self, line: bytes) -> None:
        self._splitter = wire.LineSplitter()
        self._left, self._id = self._data, 1

    def _receive(self, timeout_s: float) -> bytes:
        if not self._left:
            raise DetectorControlError("nothing more comes")
        part, self._left = self._left[: wire.MAX_LINE], self._left[wire.MAX_LINE :]
        return part

    def close(self) -> None:
        """Nothing is open."""


def _driver(data: bytes) -> None:
    driver = _Driver(data)
    for request in (driver.status, driver.start, lambda: driver.configure(SETTINGS)):
        with suppress(DetectorControlError):
            request()
