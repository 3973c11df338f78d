"""More bags than the lane can process: in order, UNKNOWN/Timeout in time, late results as supplements, none lost."""

from __future__ import annotations

from collections import deque

import pytest

from edge.messages import Decision, Fault
from edge.verdict.actions import Action, Recalled
from tests.edge.verdict_scene import LIMITS, MM, Memory, assessment, at, entry, leave, report

BAGS = 40
PITCH = 150 * MM
#: A tick of the service, s.
TICK_S = 0.1


class SlowLane:
    """Bags come every ``every_s``; what is between readout and verdict takes ``takes_s`` a bag, one after the other."""

    def __init__(self, every_s: float, takes_s: float) -> None:
        self.every_s, self.takes_s = every_s, takes_s
        self.memory = Memory()
        self.ledger = self.memory.ledger()
        self.queue: deque[tuple[str, str]] = deque()
        self.busy_until = 0.0
        self.recalled: list[str] = []
        self.decided: list[tuple[str, float]] = []

    def do(self, actions: list[Action], now: float) -> None:
        for action in actions:
            if isinstance(action, Recalled):
                self.recalled.append(action.bag_id)
                self.queue.append((action.bag_id, action.scan_id))
        for verdict in self.memory.do(actions):
            if verdict.final:
                self.decided.append((verdict.bag_id, now))

    def run(self) -> None:
        tick = 0
        while tick * TICK_S < 2 * BAGS * max(self.every_s, self.takes_s) + 30:
            now = tick * TICK_S
            number, phase = divmod(tick, round(self.every_s / TICK_S))
            if number < BAGS and phase in (0, 3, 6):
                self._bag(number, phase, now)
            if self.queue and now >= self.busy_until:
                bag, scan = self.queue.popleft()
                self.busy_until = now + self.takes_s
                self.do(self.ledger.assessment(assessment(bag, scan_id=scan), at(now)), now)
            self.do(self.ledger.tick(at(now)), now)
            tick += 1

    def _bag(self, number: int, phase: int, now: float) -> None:
        name, place = f"N{number:02d}", number * PITCH
        if phase == 0:
            self.do(self.ledger.event(entry(name, place, now, 2 * number + 1), at(now)), now)
        elif phase == 3:
            self.do(self.ledger.event(leave(name, place + 80 * MM, now, 2 * number + 2), at(now)), now)
        else:
            self.queue.append((name, name))
            self.do(self.ledger.event(report(place + 80 * MM + LIMITS.scan_tail_counts, now), at(now)), now)


@pytest.mark.parametrize(("every_s", "takes_s"), [(1.0, 0.9), (1.0, 2.0), (1.0, 4.0)])
def test_bags_closer_than_the_budget_each_get_one_verdict_in_time(every_s: float, takes_s: float) -> None:
    lane = SlowLane(every_s, takes_s)
    lane.run()
    names = [f"N{number:02d}" for number in range(BAGS)]
    assert [bag for bag, _ in lane.decided] == names
    deadlines = {bag: number * every_s + LIMITS.deadline_ns / 1e9 for number, bag in enumerate(names)}
    assert all(now <= deadlines[bag] + 2 * TICK_S for bag, now in lane.decided)
    reasons = {bag: verdict.reason for bag, verdict in lane.memory.finals.items()}
    late = [bag for bag in names if reasons[bag] is not None]
    assert {reasons[bag] for bag in late} <= {Fault.TIMEOUT}
    assert bool(late) == (takes_s > every_s)
    # What came too late is told, in order, and changes nothing.
    told = [verdict.bag_id for verdict in lane.memory.supplements]
    assert list(dict.fromkeys(told)) == late
    assert all(verdict.decision is Decision.CLEAR for verdict in lane.memory.supplements)
    assert not set(late) & {bag for bag, _, _ in lane.memory.cleared}
    # A lane that is only slow is not fed twice, unless one bag takes a quarter of the deadline.
    assert len(lane.recalled) == len(set(lane.recalled))
    assert bool(lane.recalled) == (takes_s > LIMITS.deadline_ns / 4e9)
