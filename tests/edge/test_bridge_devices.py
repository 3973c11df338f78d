"""The bridge as a process against every emulated device: safety, commands, and calibration's shapes of devices."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from calibration.devices import Axis, Belt
from edge.bridge.board import CONNECTION
from edge.bridge.client import CommandClient, EventReader
from edge.bridge.remote import RemoteAxis, RemoteBelt, RemoteError, RemoteTube
from edge.bus import Bus
from edge.commands import app
from edge.config import Config, dump
from edge.messages import CommandReply, DeviceCommand, DeviceEvent, DeviceEventKind, DeviceState
from firmware_bridge.emulator import lane_file
from firmware_bridge.emulator.devices import Devices

pytestmark = pytest.mark.timeout(120)
#: Generous: a test that waits this long has found a hang.
PATIENCE_S = 20.0


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Box:
    """Emulated devices served by a thread, the bridge as a process, and its other ends."""

    def __init__(self, folder: Path) -> None:
        self.config = Config.model_validate(
            {
                "lane": {"state_dir": str(folder)},
                "scanner": {"native_rows": 256},
                "detector_control": {"port": free_port()},
                "emulator": {},
            }
        )
        self.file = folder / "lane.toml"
        self.file.write_text(dump(self.config), encoding="utf-8")
        self.lock = threading.Lock()
        self.devices = Devices(lane_file.read(self.file), folder / "dev")
        self._ends = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.bus = Bus(self.config.run_dir, "test")
        self.client = CommandClient(self.bus)
        self.reader = EventReader(self.bus)
        self.events: list[DeviceEvent] = []
        self.log = folder / "bridge.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "edge.bridge.main", "--config", str(self.file)]
            self.process = subprocess.Popen(command, stderr=log, cwd=Path(__file__).parents[2])
        self.until(self.complete)

    def complete(self) -> bool:
        """Every device was found and has said how it is."""
        return all(state.present and state.state not in ("", "unknown") for state in self.states().values())

    def close(self) -> None:
        self.process.terminate()
        try:
            assert self.process.wait(PATIENCE_S) == 0
        finally:
            self._ends = True
            self._thread.join()
            self.devices.close()
            self.bus.close()

    def _serve(self) -> None:
        while not self._ends:
            with self.lock:
                self.devices.serve(time.monotonic())
                self.devices.wait(0.005)
            time.sleep(0.001)

    def inject(self, device: str, fault: str, value: float = 1.0) -> None:
        with self.lock:
            self.devices.inject(device, fault, value)

    def ask(self, action: str, device: str = "belt", **fields: Any) -> CommandReply:
        command = DeviceCommand.model_validate({"action": action, "device": device, **fields})
        return self.client.ask(command, PATIENCE_S)

    def refused(self, action: str, device: str = "belt", **fields: Any) -> str:
        reply = self.ask(action, device, **fields)
        assert not reply.ok
        return reply.reason

    def states(self) -> dict[str, DeviceState]:
        return {state.device: state for state in self.ask("status").states}

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.events += self.reader.read()
            assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")[-3000:]
            time.sleep(0.01)

    def audit(self) -> list[dict[str, Any]]:
        (path,) = (self.config.state_dir / "audit").iterdir()
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def beam(self) -> bool:
        with self.lock:
            return self.devices.tube.beam


@pytest.fixture(scope="module")
def shared() -> Iterator[Box]:
    folder = Path(tempfile.mkdtemp(prefix="dlb", dir="/tmp"))
    box = Box(folder)
    try:
        box.start()
        yield box
    finally:
        box.close()
        shutil.rmtree(folder)


@pytest.fixture
def box(shared: Box) -> Iterator[Box]:
    """The same box for every test, left at rest."""
    yield shared
    shared.ask("belt_stop")
    shared.ask("beam_off")
    shared.ask("stop_motion", "motion")


def on(box: Box) -> None:
    assert box.ask("warm_up").ok
    assert box.ask("beam_on").ok


def test_the_beam_is_on_only_by_command(box: Box) -> None:
    assert not box.beam()
    assert "not warm" in box.refused("beam_on")
    on(box)
    tube = box.states()["tube"]
    assert tube.state == "on"
    assert tube.values["kv"] == pytest.approx(80, rel=0.02)
    assert box.beam()
    assert box.ask("beam_off").ok
    assert not box.beam()
    assert box.states()["tube"].facts["beam_down_because"] == "beam_off of test"


def test_an_open_door_takes_beam_and_motion_down_and_nothing_comes_back_by_itself(box: Box) -> None:
    on(box)
    box.client.send(DeviceCommand(action="move", device="sample_x", target=50_000.0))
    box.until(lambda: box.states()["sample_x"].state == "moving")
    box.inject("belt", "interlock")
    box.until(lambda: not box.beam())
    box.until(lambda: box.states()["sample_x"].state == "idle")
    assert "interlock is open" in box.refused("beam_on")
    assert "interlock is open" in box.refused("move", "m1_x", target=1.0)
    assert "interlock" in box.refused("belt_start")
    box.inject("belt", "interlock", 0)
    box.until(lambda: box.ask("status").devices["interlock"] == "closed")
    box.until(lambda: box.states()["tube"].facts["interlock"] == "closed")
    assert box.states()["tube"].state == "ready"
    assert not box.beam()
    by_itself = {line["action"] for line in box.audit() if line["source"] == "bridge"}
    assert by_itself <= {"beam_off", "stop_motion", "belt_stop"}
    assert "beam_off" in by_itself


def test_an_emergency_stop_holds_until_it_is_reset_by_command(box: Box) -> None:
    box.inject("belt", "estop")
    box.until(lambda: box.ask("status").devices["estop"] == "in force")
    assert "emergency stop" in box.refused("beam_on")
    box.inject("belt", "estop", 0)
    assert "emergency stop" in box.refused("move", "m1_x", target=1.0)
    box.until(lambda: box.ask("reset_estop").ok)
    box.until(lambda: box.ask("status").devices["estop"] == "off")


def test_an_arc_takes_the_beam_down_stops_the_belt_and_is_told(box: Box) -> None:
    on(box)
    assert box.ask("belt_start").ok
    box.events.clear()
    box.inject("tube", "arc")
    box.until(lambda: box.states()["tube"].state == "fault")
    box.until(lambda: any(e.device == "tube" and e.beam_on is False and "arc" in e.detail for e in box.events))
    box.until(lambda: box.ask("status").devices["belt_motion"] == "stopped")
    assert "arc" in box.refused("warm_up")
    assert box.ask("tube_reset").ok
    assert box.states()["tube"].state == "ready"


def test_a_cable_of_the_generator_that_goes_takes_the_beam_down_until_somebody_commands(box: Box) -> None:
    on(box)
    box.inject("tube", "unplug")
    box.until(lambda: not box.states()["tube"].present)
    assert "tube is not there" in box.refused("tube_reset")
    box.inject("tube", "unplug", 0)
    box.until(lambda: box.states()["tube"].state == "ready")
    assert box.states()["tube"].facts["beam_down_because"] == CONNECTION
    assert not box.beam()
    kinds = (DeviceEventKind.DEVICE_LOST, DeviceEventKind.DEVICE_FOUND)
    box.until(lambda: tuple(e.kind for e in box.events if e.device == "tube" and e.kind in kinds)[-2:] == kinds)


def test_moves_are_polled_and_one_at_a_time_per_axis(box: Box) -> None:
    box.ask("move", "m1_x", target=0.0)
    box.ask("move", "m1_z", target=0.0)
    first = box.client.send(DeviceCommand(action="move", device="m1_x", target=200.0, say_accepted=True))
    other = box.client.send(DeviceCommand(action="move", device="m1_z", target=100.0))
    again = box.client.send(DeviceCommand(action="move", device="m1_x", target=-200.0))
    question = box.client.send(DeviceCommand(action="status"))
    answers: list[CommandReply] = []

    def all_answered() -> bool:
        answers.extend(box.client.answers())
        return len(answers) == 5

    box.until(all_answered)
    assert [(a.command_id, a.phase, a.ok) for a in answers[:3]] == [
        (first, "accepted", True),
        (again, "done", False),
        (question, "done", True),
    ]
    assert "busy with move of test" in answers[1].reason
    assert {a.command_id: a.ok for a in answers[3:]} == {first: True, other: True}
    states = box.states()
    assert states["m1_x"].values["position"] == pytest.approx(200.0, abs=0.5)
    assert states["m1_z"].values["position"] == pytest.approx(100.0, abs=0.5)


def test_limits_and_stuck_axes_are_told(box: Box) -> None:
    assert "soft limits" in box.refused("move", "m1_x", target=1e6)
    box.inject("m2_x", "stuck")
    assert box.refused("move", "m2_x", target=20.0, timeout_s=1.5)
    box.inject("m2_x", "stuck", 0)
    box.until(lambda: box.ask("home", "m2_x").ok)


def test_what_disturbs_a_scan_is_refused_while_the_belt_runs(box: Box) -> None:
    assert box.ask("belt_start").ok
    box.until(lambda: box.ask("status").devices["belt_motion"] == "running")
    for action, device in (("move", "m1_x"), ("home", "m1_x"), ("detector_configure", ""), ("detector_stop", "")):
        assert "belt is running" in box.refused(action, device)
    assert box.ask("belt_stop").ok
    box.until(lambda: box.ask("status").devices["belt_motion"] == "stopped")
    with box.lock:
        box.devices.belt.bag_entry(1000, "T1")
    box.until(lambda: box.ask("status").devices["open_bag"] != "")
    assert "is in the beam" in box.refused("home", "m1_x")
    assert "is in the beam" in box.refused("detector_stop")
    assert "did not enter" in box.refused("clear_line", bag_id="stranger", encoder_from=2000, encoder_to=3000)
    with box.lock:
        box.devices.belt.encoder = 2_000_000
        box.devices.belt.bag_exit(1500)
    box.until(lambda: box.ask("status").devices["open_bag"] == "")
    box.until(lambda: box.ask("home", "m1_x").ok)


def test_the_detector_is_configured_stopped_and_started(box: Box) -> None:
    assert box.ask("detector_configure", thresholds_ev=(21_000, 42_000)).ok
    assert box.states()["detector"].facts["thresholds_ev"] == "21000, 42000"
    assert box.ask("detector_stop").ok
    assert box.states()["detector"].state == "idle"
    assert box.ask("detector_start").ok
    box.inject("detector-control", "overheat")
    box.until(lambda: box.states()["detector"].state == "fault")
    box.inject("detector-control", "overheat", 0)
    assert box.ask("detector_reset").ok
    assert box.ask("detector_start").ok
    assert "thresholds_ev" in box.refused("detector_configure", thresholds_ev=(5,))


def test_calibration_can_hold_the_devices_through_the_bridge(box: Box) -> None:
    axis = RemoteAxis(box.client, "m1_x")
    shaped: Axis = axis
    assert shaped is axis
    axis.move_to(-42.0)
    assert axis.position() == axis.position_um() == pytest.approx(-42.0, abs=0.5)
    assert axis.limits() == (-500.0, 500.0)
    with pytest.raises(RemoteError, match="soft limits"):
        axis.move_to_um(1e6)
    belt = RemoteBelt(box.client, box.bus)
    of_routine: Belt = belt
    of_routine.start_belt()
    seen: list[str] = []

    def heard() -> bool:
        seen.extend(event.kind for event in of_routine.poll())
        return "encoder" in seen

    box.until(heard)
    of_routine.stop_belt()
    tube = RemoteTube(box.client, ma=1.0)
    tube.on(0.5)
    assert tube.status().state == "on"
    assert tube.kilovolts() == pytest.approx(80, rel=0.02)
    assert tube.status().values["ma"] == pytest.approx(0.5, rel=0.02)
    tube.off()
    with pytest.raises(RemoteError, match="m9"):
        RemoteAxis(box.client, "m9").position()


def test_the_command_line_shows_and_commands(box: Box) -> None:
    config = ["--config", str(box.file)]
    run = CliRunner().invoke
    shown = run(app, ["device", "status", "--json", *config])
    assert shown.exit_code == 0, shown.output
    told = json.loads(shown.stdout)
    assert {"belt", "tube", "detector", "m1_x", "m2_rot_x", "sample_x"} <= {d["device"] for d in told["devices"]}
    assert "sample_x" in run(app, ["device", "status", *config]).output
    assert run(app, ["device", "move", "m1_x", "12.5", *config]).exit_code == 0
    refused = run(app, ["device", "move", "m1_x", "9999", *config])
    assert refused.exit_code == 1
    assert "soft limits" in refused.output
    for words in (["beam-on"], ["beam-off"], ["lights", "--red"], ["stop"], ["belt-start"], ["belt-stop"]):
        assert run(app, ["device", *words, *config]).exit_code == 0, words


def test_a_bridge_that_is_killed_finds_everything_again_and_the_beam_down(box: Box) -> None:
    on(box)
    assert box.ask("belt_start").ok
    box.until(lambda: box.ask("status").devices["belt_motion"] == "running")
    box.process.kill()
    box.process.wait(PATIENCE_S)
    box.start()
    box.until(lambda: box.states()["tube"].facts.get("beam_down_because") == CONNECTION)
    assert not box.beam()
    # No bag passes unscanned.
    box.until(lambda: box.ask("status").devices["belt_motion"] == "stopped")


def test_a_bridge_that_is_stopped_takes_the_beam_down_and_stops_the_belt(box: Box) -> None:
    on(box)
    assert box.ask("belt_start").ok
    box.until(lambda: box.ask("status").devices["belt_motion"] == "running")
    box.process.terminate()
    assert box.process.wait(PATIENCE_S) == 0
    assert not box.beam()
    with box.lock:
        assert not box.devices.belt.moving
    box.start()


def test_without_a_lane_the_command_says_so(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["device", "status", "--state-dir", str(tmp_path / "none")])
    assert result.exit_code == 1
    assert "no lane runs there" in result.output
