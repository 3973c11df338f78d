"""One axis each on three controllers, two emulated by us and one by others, for one conformance suite."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path

import pytest

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import Stage
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion import (
    AriesAxis,
    AriesController,
    Axis,
    AxisError,
    AxisStatus,
    DrivenAxis,
    EspAxis,
    EspController,
)
from firmware_bridge.motion.line import RequestLine
from tests.firmware_bridge.motion_lines import on_pty, on_tcp


class Bench(ABC):
    """A controller with one axis under test. ``soft`` are its soft limits, ``outside`` is beyond what it can reach."""

    unit: str
    soft: tuple[float, float]
    #: Soft limits that let ``outside`` through, to hear what the controller itself says about it.
    wide: tuple[float, float]
    outside: float
    outside_error: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stack = ExitStack()

    def at(self, fraction: float) -> float:
        """A position between the soft limits."""
        low, high = self.soft
        return low + fraction * (high - low)

    @abstractmethod
    def open(self, limits: tuple[float, float]) -> Axis:
        """The axis, as a program opens it."""

    def truth(self) -> float | None:
        """Where the stage really is; None where nobody can look."""
        return None

    @abstractmethod
    def cut(self) -> None:
        """Cut the line for good."""

    def close(self) -> None:
        self.stack.close()


class EspBench(Bench):
    unit, soft, wide = "um", (-100.0, 100.0), (-900.0, 900.0)
    outside, outside_error = 600.0, r"beyond the positive software limit of the controller \(error 206\)"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stage = Stage(velocity=100.0)
        self.device = EspDevice({1: Stage(), 2: self.stage})
        self.line = self.stack.enter_context(ExitStack())
        self.link = self.line.enter_context(on_pty(self.device, folder / "esp"))

    def open(self, limits: tuple[float, float]) -> Axis:
        controller = EspController(self.link, "motion controller esp-1")
        self.stack.callback(controller.close)
        return EspAxis(controller, 2, unit="um", limits=limits, name="m1_z")

    def truth(self) -> float | None:
        return self.stage.position

    def cut(self) -> None:
        self.line.close()


class AriesBench(Bench):
    unit, soft, wide = "mrad", (-20.0, 20.0), (-90.0, 90.0)
    outside, outside_error = 30.0, r"stands at 25(\.\d+)? mrad, not at 30 mrad; its upper hardware limit switch is hit"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stage = Stage(0.0, 20.0, (-20.0, 20.0), (-25.0, 25.0), unit="mrad", closed_loop=False, powered=True)
        self.device = AriesDevice({1: Stage(closed_loop=False, powered=True), 2: self.stage}, serial=False)
        self.line = self.stack.enter_context(ExitStack())
        self.address = self.line.enter_context(on_tcp(self.device))

    def open(self, limits: tuple[float, float]) -> Axis:
        controller = AriesController(f"tcp://{self.address[0]}:{self.address[1]}", "motion controller aries")
        self.stack.callback(controller.close)
        return AriesAxis(controller, 2, unit="mrad", limits=limits, steps_per_unit=1000.0, name="m1_rot_z")

    def truth(self) -> float | None:
        return self.stage.position

    def cut(self) -> None:
        self.line.close()


class LewisBench(Bench):
    """The example motor of lewis (European Spallation Source) in its own process: our axis on their simulator."""

    unit, soft, wide = "mm", (0.0, 200.0), (-500.0, 500.0)
    outside, outside_error = 300.0, r"err: not 0<=T<=250"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        pytest.importorskip("lewis")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        # Simulated time runs 50 times as fast: 2 mm/s become 100 mm/s, and half its range takes 1 s as with the others.
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from lewis.scripts.run import run_simulation; run_simulation()"),
                *("example_motor", "-k", "lewis.examples", "-e", "50", "-c", "0.002", "-o", "none"),
                *("-p", f"stream: {{bind_address: 127.0.0.1, port: {self.port}}}"),
            ]
        )
        self.stack.callback(self.process.wait)
        self.stack.callback(self.process.kill)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the simulator does not listen"
                assert self.process.poll() is None, "the simulator ended"
                time.sleep(0.02)

    def open(self, limits: tuple[float, float]) -> Axis:
        axis = LewisAxis(f"tcp://127.0.0.1:{self.port}", limits)
        self.stack.callback(axis.close)
        return axis

    def cut(self) -> None:
        self.process.kill()
        self.process.wait()


class LewisAxis(DrivenAxis):
    """Adapter: the example motor as one of our axes. It has no home switch: home is its position 0."""

    def __init__(self, port: str, limits: tuple[float, float]) -> None:
        self._line = RequestLine(
            port, "example motor", baud=0, end=b"\r\n", hello="S?", is_hello=lambda line: line in ("idle", "moving")
        )
        super().__init__(f"{self._line.where}, axis 1 (example)", "mm", limits, 1e-6, 200.0)
        self._homed = self._homing = False

    def close(self) -> None:
        self._line.close()

    def moving(self) -> bool:
        answer = self._line.ask("S?")
        if answer not in ("idle", "moving"):
            raise self._line.lost("S?", answer, "with its state")
        return answer == "moving"

    def start_home(self) -> None:
        self._homed = False
        self._go(0.0)
        self._homing = True

    def stop(self) -> None:
        self._homing = False
        self._line.ask("H")

    def status(self) -> AxisStatus:
        moving = self.moving()
        if not moving:
            self._confirm_home()
        return AxisStatus(self.position(), moving, self._homed, "", "")

    def _read_position(self) -> float:
        answer = self._line.ask("P?")
        if not re.fullmatch(r"[-+]?\d+(\.\d+)?(e[-+]\d+)?", answer):
            raise self._line.lost("P?", answer, "with a number")
        return float(answer)

    def _go(self, target: float) -> None:
        answer = self._line.ask(f"T={target:.6f}")
        if not answer.startswith("T="):
            why = "is moving; stop it first" if "not idle" in answer else f"refuses {target:g} ({answer})"
            raise AxisError(f"{self.label}: {why}")

    def _raise_errors(self) -> None:
        pass

    def _confirm_home(self) -> None:
        self._homed, self._homing = self._homed or self._homing, False

    def _why_short(self) -> str:
        return ""


BENCHES: dict[str, type[Bench]] = {"esp": EspBench, "aries": AriesBench, "lewis": LewisBench}
