"""Commands of the bridge: one at a time, refused with a reason, written down, answered when they are done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge.bridge.audit import Audit
from edge.bridge.commands import MAX_WAITING, Commands
from edge.bridge.jobs import DONE, Job, Outcome
from edge.bridge.safety import Situation, make_safe, refuse
from edge.messages import CommandReply, DeviceCommand
from tests.edge.bridge_fakes import Clock

UNITS = ("belt", "tube", "detector", "m1_x", "m1_z")
SAFE = Situation(interlock_closed=True, belt_moving=False)


class Bench:
    """The scheduler with everything around it in the test's hands."""

    def __init__(self, folder: Path) -> None:
        self.jobs: list[Job] = []
        self.replies: list[CommandReply] = []
        self.situation = SAFE
        self.audit = Audit(folder)
        self.clock = Clock()
        self.commands = Commands(
            UNITS, ("m1_x", "m1_z"), self.jobs.append, self.audit, lambda: self.situation, lambda _: "", self.clock
        )

    def send(self, action: str, device: str = "belt", **fields: Any) -> DeviceCommand:
        command = DeviceCommand.model_validate(
            {"action": action, "device": device, "source": "test", "command_id": f"{action}-{device}", **fields}
        )
        self.commands.take(command, self.replies.append)
        return command

    def end(self, outcome: Outcome = DONE) -> None:
        self.commands.finished(self.jobs.pop(0), outcome)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for path in self.audit.folder.iterdir() for line in path.read_text().splitlines()]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "audit")


def test_a_command_is_answered_when_it_is_done_and_written_down_before_and_after(bench: Bench) -> None:
    bench.send("move", "m1_x", target=-5.0, say_accepted=True)
    assert [(r.phase, r.ok) for r in bench.replies] == [("accepted", True)]
    assert bench.commands.busy == {"m1_x": "move"}
    bench.clock.now += 1.5
    bench.end()
    assert [(r.phase, r.ok, r.command_id) for r in bench.replies[1:]] == [("done", True, "move-m1_x")]
    begin, done = bench.lines()
    assert (begin["phase"], begin["source"], begin["device"], begin["target"]) == ("begin", "test", "m1_x", -5.0)
    assert (done["phase"], done["took_ms"]) == ("done", 1500.0)
    assert "kv" not in begin


def test_a_failure_carries_its_reason(bench: Bench) -> None:
    bench.send("home", "m1_x")
    bench.end(Outcome(ok=False, reason="limit switch"))
    assert [(r.ok, r.reason) for r in bench.replies] == [(False, "limit switch")]
    assert bench.lines()[-1]["phase"] == "failed"


def test_a_device_that_is_busy_for_long_refuses_others_do_not(bench: Bench) -> None:
    bench.send("move", "m1_x")
    bench.send("move", "m1_x")
    assert bench.replies[-1].reason == "move: m1_x is busy with move of test; wait for it or stop it"
    bench.send("move", "m1_z")
    assert [job.unit for job in bench.jobs] == ["m1_x", "m1_z"]
    assert bench.lines()[1]["phase"] == "refused"


def test_short_commands_wait_for_their_turn_but_not_too_many(bench: Bench) -> None:
    for number in range(MAX_WAITING + 2):
        bench.send("clear_line", bag_id=f"b{number}")
    assert len(bench.jobs) == 1
    assert [r.reason for r in bench.replies] == [f"clear_line: {MAX_WAITING} commands wait for belt already"]
    order = []
    while bench.jobs:
        order.append(bench.jobs[0].command.bag_id)
        bench.end()
    assert order == [f"b{number}" for number in range(MAX_WAITING + 1)]
    assert sum(r.ok for r in bench.replies) == MAX_WAITING + 1


def test_what_became_unsafe_while_it_waited_is_not_begun(bench: Bench) -> None:
    bench.send("lights")
    bench.send("belt_start")
    bench.situation = Situation(interlock_closed=True, moving_axes=("m1_x",))
    bench.end()
    assert bench.jobs == []
    assert "m1_x still moving" in bench.replies[-1].reason


def test_a_stop_passes_everything_and_empties_the_queue(bench: Bench) -> None:
    bench.send("lights")
    bench.send("belt_start")
    bench.send("belt_stop")
    assert [job.action for job in bench.jobs] == ["lights", "belt_stop"]
    assert bench.replies[0].reason == "belt_start: belt_stop came first"
    bench.end()
    bench.end()
    assert bench.commands.busy == {}
    bench.send("move", "m1_x")
    bench.send("stop_motion", "m1_x")
    bench.end(Outcome(ok=False, reason="ended by stop_motion"))
    assert bench.commands.busy == {"m1_x": "stop_motion"}
    bench.end()
    assert [r.ok for r in bench.replies[-2:]] == [False, True]


def test_stopping_all_axes_is_one_command_with_one_answer(bench: Bench) -> None:
    bench.send("stop_motion", "motion")
    bench.end()
    assert bench.replies == []
    bench.end(Outcome(ok=False, reason="esp-1 is away"))
    assert [(r.ok, r.reason) for r in bench.replies] == [(False, "esp-1 is away")]


def test_unknown_devices_are_refused_with_the_known_ones(bench: Bench) -> None:
    bench.send("move", "m9")
    assert bench.replies[-1].reason == "move: no axis is called 'm9'; there are m1_x, m1_z"
    none = Commands(("belt",), (), bench.jobs.append, bench.audit, lambda: SAFE, lambda _: "", bench.clock)
    none.take(DeviceCommand(action="beam_on"), bench.replies.append)
    assert bench.replies[-1].reason == "beam_on: this lane has no tube"


def test_nothing_is_done_that_cannot_be_written_down_except_to_make_it_safe(bench: Bench) -> None:
    bench.audit.folder.parent.joinpath("audit").write_text("in the way of the folder")
    bench.send("beam_on")
    assert "audit cannot be written" in bench.replies[-1].reason
    assert bench.jobs == []
    bench.send("beam_off")
    assert [job.action for job in bench.jobs] == ["beam_off"]


def test_an_audit_that_the_power_cut_goes_on_in_a_line_of_its_own(tmp_path: Path) -> None:
    audit = Audit(tmp_path)
    audit.write("begin", DeviceCommand(action="belt_stop"), "belt")
    (path,) = tmp_path.iterdir()
    with path.open("ab") as file:
        file.write(b'{"t": "20')
    audit.write("done", DeviceCommand(action="belt_stop"), "belt")
    first, cut, last = path.read_text().splitlines()
    assert json.loads(first)["phase"] == "begin"
    assert cut == '{"t": "20'
    assert json.loads(last)["source"] == "unknown"


@pytest.mark.parametrize(
    ("action", "now", "why"),
    [
        ("move", {"bag_in_beam": "b1"}, "bag b1 is in the beam"),
        ("home", {"bag_in_beam": "b1"}, "bag b1 is in the beam"),
        ("home", {"belt_moving": True}, "belt is running"),
        ("move", {"interlock_closed": False}, "interlock is open"),
        ("move", {"estop": True}, "emergency stop"),
        ("beam_on", {"interlock_closed": False}, "interlock is open"),
        ("beam_on", {"interlock_closed": None}, "has not said"),
        ("beam_on", {"tube_interlock_open": True}, "generator says so"),
        ("beam_on", {"estop": True}, "emergency stop"),
        ("belt_start", {"moving_axes": ("m1_x",)}, "m1_x still moving"),
        ("belt_start", {"busy": {"m1_z": "home"}}, "m1_z still moving"),
        ("belt_start", {"busy": {"detector": "detector_configure"}}, "being configured"),
        ("detector_configure", {"bag_in_beam": "b1"}, "bag b1 is in the beam"),
        ("detector_stop", {"belt_moving": True}, "belt is running"),
        ("move", {"belt_moving": None}, "has not said"),
        ("detector_configure", {"belt_moving": None}, "has not said"),
    ],
)
def test_what_is_unsafe_is_refused_with_the_reason(action: str, now: dict[str, Any], why: str) -> None:
    command = DeviceCommand.model_validate({"action": action, "device": "m1_x"})
    assert refuse(command, SAFE) == ""
    refused = refuse(command, Situation(**{"interlock_closed": True, "belt_moving": False, **now}))
    assert why in refused
    assert refused.startswith(action)


def test_a_target_must_be_a_number() -> None:
    assert "not a number" in refuse(DeviceCommand(action="move", device="m1_x", target=float("nan")), SAFE)


@pytest.mark.parametrize("action", ["beam_off", "belt_stop", "stop_motion", "tube_reset", "lights"])
def test_nothing_keeps_anybody_from_making_it_safe(action: str) -> None:
    worst = Situation(interlock_closed=False, estop=True, belt_moving=True, bag_in_beam="b", tube_interlock_open=True)
    assert refuse(DeviceCommand.model_validate({"action": action}), worst) == ""


def test_the_bridge_never_switches_on_by_itself() -> None:
    commands = [*make_safe(doors=True, axes=("m1_x",)), *make_safe(doors=False, axes=("m1_x",))]
    assert [command.action for command in commands] == ["beam_off", "stop_motion", "belt_stop"]
