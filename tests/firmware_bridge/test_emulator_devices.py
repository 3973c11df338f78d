"""All devices of the emulated scanner on their lines, met by their drivers, and what they do to each other."""

from __future__ import annotations

import dataclasses
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.config import Motion
from firmware_bridge.belt import BeltController
from firmware_bridge.detector_control import DetectorControl, DetectorRefused
from firmware_bridge.emulator.devices import POSITIONS_FILE, Devices, catalogue
from firmware_bridge.emulator.lane_file import DetectorControl as ControlTable
from firmware_bridge.emulator.lane_file import LaneFile
from firmware_bridge.emulator.settings import EmulatorSettings
from firmware_bridge.motion import Axes, AxisError, LinkError, open_axes
from firmware_bridge.scanner import Scanner
from firmware_bridge.tube import TubeRefused, XRayTube

#: A driver that waits this long has found a hang, s.
PATIENCE_S = 30.0


def lane(**control: object) -> LaneFile:
    table = ControlTable.model_validate({"port": 0, **control})
    return LaneFile(Scanner(), EmulatorSettings(), "127.0.0.1", 7148, table)


class ServedDevices(Devices):
    """Devices of a thread: faults strike between two rounds of it, as the rig's do, never while it waits on a line."""

    def __init__(self, file: LaneFile, folder: Path) -> None:
        super().__init__(file, folder)
        self._faults: queue.SimpleQueue[tuple[str, str, float, threading.Event]] = queue.SimpleQueue()

    def inject(self, device: str, fault: str, value: float = 1.0) -> None:
        struck = threading.Event()
        self._faults.put((device, fault, value, struck))
        assert struck.wait(PATIENCE_S)

    def strike(self) -> None:
        """The faults that were asked for, now."""
        while not self._faults.empty():
            device, fault, value, struck = self._faults.get()
            super().inject(device, fault, value)
            struck.set()


@contextmanager
def served(folder: Path, file: LaneFile | None = None) -> Iterator[Devices]:
    """Devices that are served by a thread, as the rig serves them between frames."""
    devices = ServedDevices(lane() if file is None else file, folder)
    running = True

    def serve() -> None:
        while running:
            devices.strike()
            devices.serve(time.monotonic())
            devices.wait(0.002)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield devices
    finally:
        running = False
        thread.join()
        devices.close()


def axes(folder: Path) -> Axes:
    motion = Motion()
    controllers = {
        name: {**table.model_dump(), "port": str(folder / Path(table.port).name)}
        for name, table in motion.controllers.items()
    }
    return open_axes(controllers, {name: table.model_dump() for name, table in motion.axes.items()})


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_every_axis_of_the_default_configuration_moves_its_own_stage_and_keeps_its_place(tmp_path: Path) -> None:
    targets = {"m1_x": 12.0, "m1_z": -8.0, "m2_x": 6.0, "m2_z": 3.0, "sample_x": 1500.0}
    targets |= {"m1_rot_z": 0.25, "m1_rot_x": -0.5, "m2_rot_z": 0.125, "m2_rot_x": 1.0}
    with served(tmp_path) as devices:
        with axes(tmp_path) as opened:
            assert set(opened) == set(targets) == set(devices.stages)
            for name, target in targets.items():
                opened[name].start_move(target)
            until(lambda: not any(axis.moving() for axis in opened.values()))
        assert devices.positions() == pytest.approx(targets)
        assert devices.at_rest
    with served(tmp_path) as devices:
        assert devices.positions() == pytest.approx(targets), f"{POSITIONS_FILE} brought them back"
        with axes(tmp_path) as opened:
            assert opened["m2_rot_x"].position() == pytest.approx(1.0)


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"m1_x": "far"}', '{"m1_x": null}'])
def test_places_that_cannot_be_read_are_those_at_delivery(tmp_path: Path, text: str) -> None:
    (tmp_path / POSITIONS_FILE).write_text(text)
    with served(tmp_path) as devices:
        assert set(devices.positions().values()) == {0.0}


def test_the_safety_contact_of_the_belt_controller_takes_the_beam_down(tmp_path: Path) -> None:
    with served(tmp_path) as devices, XRayTube(tmp_path / "tube") as tube:
        assert devices.beam(time.monotonic()) == 0.0
        for fault in ("interlock", "estop"):
            tube.warm_up()
            until(lambda: tube.status().state == "ready")
            tube.beam_on(80.0, 1.0)
            until(lambda: devices.beam(time.monotonic()) == pytest.approx(1.0, abs=0.01))
            devices.inject("belt", fault, 1.0)
            until(lambda: devices.beam(time.monotonic()) == 0.0)
            assert not tube.status().interlock_closed
            with pytest.raises(TubeRefused, match="interlock"):
                tube.beam_on(80.0, 1.0)
            devices.inject("belt", fault, 0.0)
        # Released is not reset.
        assert not tube.status().interlock_closed
        with BeltController(tmp_path / "belt") as belt:
            belt.reset_estop()
        until(lambda: tube.status().interlock_closed)
        assert tube.status().state != "on"


def test_the_generators_own_interlock_holds_whatever_the_belt_controller_says(tmp_path: Path) -> None:
    with served(tmp_path) as devices, XRayTube(tmp_path / "tube") as tube:
        devices.inject("tube", "interlock", 1.0)
        devices.inject("belt", "interlock", 1.0)
        devices.inject("belt", "interlock", 0.0)
        time.sleep(0.05)
        assert not tube.status().interlock_closed
        devices.inject("tube", "interlock", 0.0)
        until(lambda: tube.status().interlock_closed)


def test_the_beam_scales_with_current_and_the_square_of_the_voltage(tmp_path: Path) -> None:
    with served(tmp_path) as devices, XRayTube(tmp_path / "tube") as tube:
        tube.warm_up()
        until(lambda: tube.status().state == "ready")
        tube.beam_on(40.0, 3.0)
        assert devices.beam(time.monotonic()) == pytest.approx(0.75, abs=0.02)


def test_a_tube_that_is_on_from_the_start_stays_on(tmp_path: Path) -> None:
    file = dataclasses.replace(lane(), emulator=EmulatorSettings(tube_on=True))
    with served(tmp_path, file) as devices:
        assert devices.beam(time.monotonic()) == pytest.approx(1.0, abs=0.01)
        assert devices.beam(time.monotonic() + 3600.0) == pytest.approx(1.0, abs=0.01)


def test_detector_control_survives_its_cable(tmp_path: Path) -> None:
    with served(tmp_path) as devices:
        port = devices.ports["detector-control"]
        with DetectorControl("127.0.0.1", port) as control:
            control.stop()
            control.configure(dataclasses.replace(devices.detector.settings, packet_bytes=1472))
            with pytest.raises(DetectorRefused, match="row_binning 2"):
                control.configure(dataclasses.replace(devices.detector.settings, row_binning=2))
            devices.inject("detector-control", "unplug", 1.0)
            with pytest.raises(LinkError):
                control.status()
        with pytest.raises(LinkError, match="no connection"):
            DetectorControl("127.0.0.1", port)
        devices.inject("detector-control", "unplug", 0.0)
        with DetectorControl("127.0.0.1", port) as control:
            status = control.status()
        assert (status.settings.packet_bytes, status.streaming) == (1472, False)


def test_a_detector_without_a_command_port_streams_by_itself(tmp_path: Path) -> None:
    with served(tmp_path, lane(enabled=False)) as devices:
        assert "detector-control" not in devices.lines
        assert devices.detector.streaming
        devices.inject("detector-control", "unplug", 1.0)
        devices.inject("detector-control", "overheat", 1.0)
        assert not devices.detector.streaming


def test_a_stage_that_is_stuck_and_a_line_that_is_cut(tmp_path: Path) -> None:
    with served(tmp_path) as devices, axes(tmp_path) as opened:
        devices.inject("m2_x", "stuck", 1.0)
        with pytest.raises(AxisError, match="following error"):
            opened["m2_x"].move_to(80.0, 5.0)
        assert devices.positions()["m2_x"] == 0.0
        devices.inject("esp-1", "unplug", 1.0)
        with pytest.raises(LinkError, match="esp-1"):
            opened["m1_x"].move_to(5.0, 5.0)
        opened["m2_z"].move_to(4.0, 5.0)


def test_the_catalogue_is_what_the_devices_take(tmp_path: Path) -> None:
    devices = Devices(lane(), tmp_path)
    for device, faults in catalogue().items():
        for fault in faults:
            devices.inject(device, fault, 1.0)
            devices.inject(device, fault, 0.0)
    devices.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [POSITIONS_FILE]
