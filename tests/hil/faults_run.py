"""Plays fault scenarios against a whole lane: what became of every bag, and how long the lane needed to recover."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.config import Config
from edge.lane import Lane
from edge.messages import CommandReply, DeviceCommand, LaneState, Verdict
from firmware_bridge.emulator.fault_script import Script, load
from firmware_bridge.emulator.rig import catalogue
from tests.hil.conftest import bag, small_config

#: Scenarios that share a lane, one after another.
GROUPS: Final = (
    (
        "belt-unplugged",
        "belt-garbage",
        "belt-half-packets",
        "packet-burst",
        "clock-jump",
        "belt-mute",
        "belt-reboot",
        "encoder-slip",
    ),
    (
        "interlock",
        "emergency-stop",
        "tube-arc",
        "tube-unplugged",
        "detector-overheat",
        "detector-silent",
        "stage-unplugged",
        "stage-stuck",
    ),
)
#: States in which the lane scans.
WELL: Final = ("READY", "SCANNING")
#: A lane that needs longer for a scenario hangs, s.
SCENARIO_S: Final = 45.0


@dataclass(frozen=True)
class Outcome:
    """What one scenario did. Times are real seconds; ``None``: did not happen, or there is no such thing here.

    ``reasons``, ``finals``, ``details``: of each bag: why it is UNKNOWN, its final verdicts counted, and in words.
    ``states``: what the lane reported meanwhile. ``ready_s``: from the end of the fault to the lane's heartbeat that
    says that it scans again (one a second). ``good_s``: to the next verdict that is not UNKNOWN.
    """

    script: Script
    reasons: tuple[str | None, ...]
    finals: tuple[int, ...]
    details: tuple[str, ...]
    states: tuple[str, ...]
    ready_s: float | None
    good_s: float | None

    @property
    def as_expected(self) -> bool:
        """One final verdict per bag, each for one of the reasons that the scenario names."""
        expected = {item.bag: item.reasons for item in self.script.expect}
        right = all(reason in expected.get(bag, (None,)) for bag, reason in enumerate(self.reasons, 1))
        return right and self.finals == (1,) * self.script.bags

    def line(self) -> dict[str, Any]:
        """For the report."""
        return {
            "scenario": self.script.name,
            "title": self.script.title,
            "reasons": self.reasons,
            "details": self.details,
            "states": self.states,
            "ready_s": self.ready_s,
            "good_s": self.good_s,
        }


#: What a person commands when the fault of a scenario begins; the last one must fail.
ORDERS: Final = {
    "stage-stuck": (
        DeviceCommand(action="belt_stop"),
        DeviceCommand(action="move", device="m1_x", target=60.0, timeout_s=10.0),
    ),
}


@dataclass
class Played:
    """One lane run: its outcomes, what was said, and how often services died."""

    outcomes: dict[str, Outcome]
    said: list[str]
    restarts: dict[str, int]
    seconds: float
    complete: bool
    replies: dict[str, list[CommandReply]] = field(default_factory=dict)


def plan(scripts: Sequence[Script]) -> list[dict[str, Any]]:
    """Short bags, tagged by scenario and number."""
    return [bag(f"{s.name}-{n}", 800_000 + n) for s in scripts for n in range(1, s.bags + 1)]


def configuration(state_dir: Path) -> Config:
    """The small lane with bags close together."""
    return small_config(
        state_dir,
        verdict={"diverter_mm": 400.0, "deadline_s": 20.0},
        emulator={"time_scale": 4.0, "bag_gap_mm": 40.0},
    )


def play(state_dir: Path, names: Sequence[str]) -> Played:
    """Run a lane over these scenarios; AssertionError with what was said when it hangs."""
    scripts = [load(name, catalogue()) for name in names]
    file = state_dir / "plan.json"
    file.write_text(json.dumps({"items": plan(scripts)}), encoding="utf-8")
    config = configuration(state_dir)
    said: list[str] = []
    states: list[LaneState] = []
    replies: dict[str, list[CommandReply]] = {}
    started = heard = time.monotonic()
    lane = Lane(config, emulate=True, plan=str(file), say=said.append, faults=",".join(names))
    with lane:
        while not lane.finished:
            if lane.step():
                heard = time.monotonic()
            _give_orders(lane, replies)
            if lane.result.state is not None and (not states or states[-1] is not lane.result.state):
                states.append(lane.result.state)
            silent = time.monotonic() - heard > SCENARIO_S
            assert not silent, "\n".join([*said, f"{len(lane.result.entered)} bags entered", *map(str, states[-3:])])
        assert lane.supervisor is not None
        assert lane.scanner is not None
        restarts = {name: child.restarts for name, child in lane.supervisor.children.items()}
        faults = _faults(lane)
    verdicts = [v for several in lane.result.verdicts.values() for v in several]
    outcomes = {script.name: _outcome(script, faults, verdicts, states) for script in scripts}
    return Played(outcomes, said, restarts, time.monotonic() - started, lane.result.complete, replies)


def _faults(lane: Lane) -> list[dict[str, Any]]:
    """What has failed so far, and when."""
    assert lane.scanner is not None
    if not lane.scanner.faults.is_file():
        return []
    return [json.loads(line) for line in lane.scanner.faults.read_text(encoding="utf-8").splitlines()]


def _give_orders(lane: Lane, replies: dict[str, list[CommandReply]]) -> None:
    for name in {line["scenario"] for line in _faults(lane)} & ORDERS.keys() - replies.keys():
        replies[name] = []
        for order in ORDERS[name]:
            replies[name].append(lane.command(order))
            _wait_until_belt_stands(lane)


def _wait_until_belt_stands(lane: Lane) -> None:
    deadline = time.monotonic() + SCENARIO_S
    while lane.command(DeviceCommand(action="status")).devices["belt_motion"] != "stopped":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _outcome(
    script: Script, faults: Sequence[dict[str, Any]], verdicts: Sequence[Verdict], states: Sequence[LaneState]
) -> Outcome:
    mine = [line for line in faults if line["scenario"] == script.name]
    begun = min(line["t_ns"] for line in mine)
    over = max(line["t_ns"] for line in mine)
    tags = [f"{script.name}-{n}" for n in range(1, script.bags + 1)]
    finals = [[v for v in verdicts if v.final and v.bag_tag == tag] for tag in tags]
    last = max((v.t_ns for several in finals for v in several), default=over)
    seen = [s for s in states if begun <= s.t_ns <= last]
    good = [v.t_ns for v in verdicts if v.final and v.reason is None and v.t_ns > over]
    ill = [s for s in seen if s.state not in WELL]
    again = [s.t_ns for s in states if ill and s.state in WELL and s.t_ns > max(over, ill[-1].t_ns)]
    return Outcome(
        script,
        reasons=tuple(several[0].reason.value if several and several[0].reason else None for several in finals),
        finals=tuple(len(several) for several in finals),
        details=tuple(several[0].detail if several else "" for several in finals),
        states=tuple(dict.fromkeys(s.state for s in ill)),
        ready_s=_seconds(min(again, default=None), over),
        good_s=_seconds(min(good, default=None), over),
    )


def _seconds(t_ns: int | None, since_ns: int) -> float | None:
    return None if t_ns is None else round((t_ns - since_ns) / 1e9, 2)


def report(played: Sequence[Played]) -> list[dict[str, Any]]:
    """One line per scenario, for a JSON file."""
    return [outcome.line() for run in played for outcome in run.outcomes.values()]
