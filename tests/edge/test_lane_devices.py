"""Who brings the lane up again after what: connections by itself, doors and faults only by a person."""

from __future__ import annotations

from typing import Any, cast

import pytest

from edge.bridge.board import CONNECTION
from edge.bridge.client import CommandClient
from edge.config import Config
from edge.lane_devices import LaneDevices
from edge.messages import CommandReply, DeviceCommand, DeviceState
from tests.edge.bridge_fakes import Clock

FULL = ["detector_configure", "detector_start", "warm_up", "beam_on", "belt_start"]


class FakeBridge:
    """Answers questions from what the test says, and carries commands out at once."""

    def __init__(self) -> None:
        self.devices = {
            "belt": "present", "interlock": "closed", "estop": "off", "belt_motion": "running", "belt_boot": "1",
        }  # fmt: skip
        self.tube: dict[str, Any] = {"state": "on", "facts": {"interlock": "closed"}}
        self.detector = {"state": "streaming"}
        self.refuse: dict[str, str] = {}
        self.away = False
        self.done: list[str] = []
        self._replies: list[CommandReply] = []

    def send(self, command: DeviceCommand) -> str:
        if self.away:
            return ""
        number = f"c{len(self.done)}-{len(self._replies)}"
        self._replies.append(self.ask(command).model_copy(update={"command_id": number}))
        return number

    def answers(self, wait_s: float = 0.0) -> list[CommandReply]:
        replies, self._replies = self._replies, []
        return replies

    def ask(self, command: DeviceCommand, timeout_s: float = 1.0, meanwhile: object = None) -> CommandReply:
        if command.action == "status":
            states = tuple(
                DeviceState.model_validate({"device": name, "present": True, **state})
                for name, state in (("tube", self.tube), ("detector", self.detector))
            )
            return CommandReply(ok=True, devices=dict(self.devices), states=states)
        reason = self.refuse.get(command.action, "")
        self.done.append(command.action)
        return CommandReply(ok=not reason, reason=reason)


@pytest.fixture
def bridge() -> FakeBridge:
    return FakeBridge()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("edge.lane_devices.time.monotonic", made)
    return made


@pytest.fixture
def said() -> list[str]:
    return []


def lane(bridge: FakeBridge, said: list[str], *, operator: bool = False) -> LaneDevices:
    return LaneDevices(cast("CommandClient", bridge), Config(), said.append, operator=operator)


def run(devices: LaneDevices, clock: Clock, seconds: float = 5.0) -> None:
    for _ in range(round(seconds / 0.1)):
        clock.now += 0.1
        devices.tick()


def started(bridge: FakeBridge, said: list[str], *, operator: bool = False) -> LaneDevices:
    made = lane(bridge, said, operator=operator)
    assert made.start() == ""
    assert bridge.done == FULL
    bridge.done.clear()
    return made


def test_the_belt_is_started_last_and_a_refusal_ends_it(bridge: FakeBridge, said: list[str]) -> None:
    bridge.refuse["beam_on"] = "the interlock is open"
    assert lane(bridge, said).start() == "the interlock is open"
    assert "belt_start" not in bridge.done


def test_a_lane_that_is_well_is_left_alone(bridge: FakeBridge, said: list[str], clock: Clock) -> None:
    devices = started(bridge, said)
    run(devices, clock)
    assert bridge.done == []
    assert said == []


def test_after_an_interrupted_connection_the_same_commands_are_sent_again(
    bridge: FakeBridge, said: list[str], clock: Clock
) -> None:
    devices = started(bridge, said)
    bridge.away = True
    run(devices, clock)
    bridge.away = False
    bridge.tube = {"state": "ready", "facts": {"interlock": "closed", "beam_down_because": CONNECTION}}
    bridge.refuse["warm_up"] = "not yet"
    run(devices, clock, 2.0)
    assert set(bridge.done) == {"warm_up"}
    assert any("not yet" in line for line in said)
    bridge.refuse.clear()
    bridge.done.clear()
    run(devices, clock, 2.2)
    assert bridge.done[:3] == ["warm_up", "beam_on", "belt_start"]


@pytest.mark.parametrize(
    ("devices", "tube"),
    [
        ({"interlock": "open"}, {"state": "ready", "facts": {"beam_down_because": CONNECTION}}),
        ({"estop": "in force"}, {"state": "ready", "facts": {"beam_down_because": CONNECTION}}),
        ({"belt": "lost"}, {"state": "ready", "facts": {"beam_down_because": CONNECTION}}),
        ({}, {"state": "ready", "facts": {"beam_down_because": "the interlock was opened"}}),
        ({}, {"state": "ready", "facts": {"beam_down_because": "beam_off of me"}}),
        ({}, {"state": "ready", "facts": {"beam_down_because": CONNECTION, "interlock": "open"}}),
        ({}, {"state": "fault", "detail": "arc"}),
        ({"belt_motion": "stopped"}, {"state": "on"}),
    ],
)
def test_what_a_person_must_decide_is_left_to_a_person(
    bridge: FakeBridge, said: list[str], clock: Clock, devices: dict[str, str], tube: dict[str, Any]
) -> None:
    made = started(bridge, said)
    bridge.devices |= devices
    bridge.tube = tube
    run(made, clock)
    assert bridge.done == []


def test_a_restarted_belt_controller_is_started_again(bridge: FakeBridge, said: list[str], clock: Clock) -> None:
    devices = started(bridge, said)
    bridge.devices |= {"belt_boot": "2", "belt_motion": "stopped"}
    run(devices, clock, 2.5)
    assert bridge.done == ["belt_start"]


def test_the_emulated_person_resets_and_starts_when_the_cause_is_gone(
    bridge: FakeBridge, said: list[str], clock: Clock
) -> None:
    devices = started(bridge, said, operator=True)
    bridge.devices |= {"interlock": "open", "belt_motion": "stopped"}
    bridge.tube = {"state": "fault", "facts": {"interlock": "open"}}
    bridge.detector = {"state": "fault"}
    run(devices, clock)
    assert bridge.done == []
    bridge.devices |= {"interlock": "closed", "estop": "in force"}
    bridge.tube = {"state": "fault", "facts": {"interlock": "closed"}}
    run(devices, clock, 1.2)
    assert bridge.done == ["reset_estop"]
    bridge.devices["estop"] = "off"
    run(devices, clock, 2.2)
    assert bridge.done[1:] == [
        "detector_reset", "detector_start", "tube_reset", "warm_up", "beam_on", "belt_start",
    ]  # fmt: skip
