"""The slow devices of one lane, each on its line: belt, motion controllers, x-ray tube, detector control."""

from __future__ import annotations

import ipaddress
import json
import logging
import select
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Final, Protocol

from firmware_bridge import tube_packets
from firmware_bridge.detector_settings import DetectorSettings
from firmware_bridge.emulator import stages
from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import STAGE_FAULTS
from firmware_bridge.emulator.belt_device import BeltDevice
from firmware_bridge.emulator.detector_control_device import DetectorControlDevice
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.emulator.faulty_port import FaultyPort, Port
from firmware_bridge.emulator.lane_file import LaneFile
from firmware_bridge.emulator.pty_port import PtyPort
from firmware_bridge.emulator.tcp_port import TcpPort
from firmware_bridge.emulator.tube_device import OUTPUT_EXPONENT, TubeDevice
from firmware_bridge.tube_packets import Command

_LOG = logging.getLogger(__name__)
#: Thresholds T1 and T2 by tube voltage, eV (physics.md 2, an assumption there).
THRESHOLDS_EV: Final = {80: (20_000, 40_000), 120: (20_000, 50_000)}
#: Devices that nobody calls move on this often, s; the belt controller, which follows the frames, whenever asked.
PERIOD_S: Final = 0.004
#: Beside the links: where every axis stood when the scanner ended.
POSITIONS_FILE: Final = "positions.json"


class Device(Protocol):
    """What every emulated device has."""

    #: Names that :meth:`inject` takes.
    FAULTS: ClassVar[tuple[str, ...]]

    def step(self, received: bytes, now_s: float) -> bytes:
        """Handle ``received`` at monotonic time ``now_s``; returns what to send."""

    def inject(self, fault: str, value: float = 1.0) -> None:
        """Begin a fault; ``value`` 0 heals it."""


@dataclass
class Line:
    """One device and its serial line."""

    port: FaultyPort
    device: Device

    def step(self, now_s: float) -> None:
        """Let the device read, think and write."""
        self.port.write(self.device.step(self.port.read(), now_s))

    def inject(self, fault: str, value: float) -> None:
        """Begin or heal a fault of either."""
        (self.port if fault in self.port.FAULTS else self.device).inject(fault, value)


#: Names of the lines, which are those of the links of serial ones, and what is on them.
KINDS: Final[dict[str, type[Device]]] = {
    "belt": BeltDevice,
    "esp-1": EspDevice,
    "esp-2": EspDevice,
    "aries": AriesDevice,
    "tube": TubeDevice,
    "detector-control": DetectorControlDevice,
}


def catalogue() -> dict[str, tuple[str, ...]]:
    """Faults of every device, which are those of its line and its own, and of every stage."""
    table = {name: (*FaultyPort.FAULTS, *kind.FAULTS) for name, kind in KINDS.items()}
    return {**table, **dict.fromkeys(stages.AXES, STAGE_FAULTS)}


class Devices:
    """All devices; ``folder`` gets the links of the serial lines. Call :meth:`serve` often."""

    def __init__(self, lane: LaneFile, folder: Path) -> None:
        self._scanner = lane.scanner
        #: The generator's own interlock loop, besides the contact of the belt controller.
        self._tube_loop_open = False
        self._called, self._due_s = True, 0.0
        self._seed = lane.emulator.seed
        self._file = folder / POSITIONS_FILE
        self.stages = stages.make(_read_positions(self._file))
        self.belt = BeltDevice(lane.scanner.encoder_um)
        self.tube = _tube(lane)
        self._shutter = lane.emulator.shutter
        self.detector = _detector(lane)
        devices: dict[str, Device] = {"belt": self.belt, "tube": self.tube, **stages.controllers(self.stages)}
        self.lines: dict[str, Line] = {}
        #: TCP ports, by line.
        self.ports: dict[str, int] = {}
        try:
            for name, device in devices.items():
                self._add(name, device, partial(PtyPort, folder / name))
            if lane.control.enabled:
                self._add("detector-control", self.detector, self._control_port(lane))
        except BaseException:
            self._close_lines()
            raise

    def _add(self, name: str, device: Device, plug: Callable[[], Port]) -> None:
        seed = self._seed + sum(name.encode())
        self.lines[name] = Line(FaultyPort(plug, seed), device)

    def _control_port(self, lane: LaneFile) -> Callable[[], Port]:
        port = lane.control.port

        def plug() -> Port:
            nonlocal port
            made = TcpPort(lane.control.host, port, self.detector.new_connection)
            # Chosen by the system or not: it comes back where it was.
            port = self.ports["detector-control"] = made.port
            _LOG.info("detector control listens on %s:%d", lane.control.host, port)
            return made

        return plug

    def inject(self, device: str, fault: str, value: float) -> None:
        """Begin or heal one fault of one device."""
        if (device, fault) == ("tube", "interlock"):
            self._tube_loop_open = bool(value)
        if device in self.stages:
            self.stages[device].inject(fault, value)
        elif device in self.lines:
            self.lines[device].inject(fault, value)
        elif fault in DetectorControlDevice.FAULTS:
            # Without its command port the detector can fail all the same.
            self.detector.inject(fault, value)
        else:
            _LOG.warning("fault %s: this lane has no line %s", fault, device)

    def serve(self, now_s: float) -> None:
        """Let every device handle what has come; the safety contact of the belt controller reaches the tube."""
        if self._called or now_s >= self._due_s:
            self._called, self._due_s = False, now_s + PERIOD_S
            for line in self.lines.values():
                line.step(now_s)
        else:
            self.lines["belt"].step(now_s)
        closed = self.belt.beam_permitted and not self._tube_loop_open
        if self.tube.interlock_closed != closed:
            self.tube.set_interlock(closed)

    def descriptors(self) -> Iterable[int]:
        """What to wait on."""
        return [fd for line in self.lines.values() for fd in line.port.fds]

    def wait(self, timeout_s: float) -> None:
        """Wait until a device hears something, at most ``timeout_s``."""
        self._called = bool(select.select(self.descriptors(), (), (), timeout_s)[0])

    def positions(self) -> dict[str, float]:
        """Where every axis really is, µm and mrad."""
        return {name: stage.position for name, stage in self.stages.items()}

    @property
    def at_rest(self) -> bool:
        """True when no stage moves."""
        return all(stage.at_rest for stage in self.stages.values())

    def beam(self, now_s: float) -> float:
        """Output of the tube against the one at the scanner's nominal kV and mA."""
        if self.tube.output(now_s) <= 0 or not self._shutter:
            return 0.0
        nominal = self._scanner
        voltage: float = (self.tube.kv / nominal.tube_kv) ** OUTPUT_EXPONENT
        return voltage * self.tube.ma / nominal.tube_ma

    def close(self) -> None:
        """Close all lines. A real axis keeps its place when its computer goes; so do these."""
        self._close_lines()
        self._file.write_text(json.dumps(self.positions()) + "\n", encoding="ascii")

    def _close_lines(self) -> None:
        for line in self.lines.values():
            line.port.close()


def _read_positions(path: Path) -> dict[str, float]:
    try:
        return {str(name): float(value) for name, value in json.loads(path.read_text(encoding="ascii")).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _LOG.warning("%s: not usable (%s); every axis starts at 0", path, error)
        return {}


def _detector(lane: LaneFile) -> DetectorControlDevice:
    """The detector as it was set up last: it streams to the lane's port from power-up."""
    scanner = lane.scanner
    address = ipaddress.ip_address(socket.getaddrinfo(lane.host, lane.port, type=socket.SOCK_DGRAM)[0][4][0])
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return DetectorControlDevice(
        DetectorSettings(
            thresholds_ev=THRESHOLDS_EV[scanner.tube_kv],
            exposure_ns=round(1e9 / scanner.frame_rate_hz),
            row_binning=scanner.row_binning,
            host=str(address),
            port=lane.port,
        ),
        binnings=(scanner.row_binning,),
    )


def _tube(lane: LaneFile) -> TubeDevice:
    """The generator; with ``[emulator] tube_on`` its beam is on although nobody asked, and no watchdog ends it."""
    if not lane.emulator.tube_on:
        return TubeDevice(voltage=lane.emulator.voltage)
    tube = TubeDevice(filament=True, warm_up_s=0.0, ramp_s=0.0, watchdog_s=0.0)
    kv, ma = lane.scanner.tube_kv / tube.max_kv, lane.scanner.tube_ma / tube.max_ma
    for command, value in (
        (Command.SET_KV, round(kv * tube_packets.COUNTS)),
        (Command.SET_MA, round(ma * tube_packets.COUNTS)),
        (Command.BEAM, 1),
    ):
        tube.step(tube_packets.encode(command, value), 0.0)
    return tube
