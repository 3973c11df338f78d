"""Timing on a machine that others may use too: what they took is measured and stated, the quietest rounds count."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: A round is quiet when others kept fewer than this many cores busy during it.
QUIET_CORES = 0.15


@dataclass(frozen=True)
class Effort:
    """How long a measurement may take: rounds that count, seconds of one work in a round and in all of them."""

    rounds: int
    round_s: float
    budget_s: float


FULL = Effort(rounds=5, round_s=0.25, budget_s=3.0)
#: For works that take seconds each, and for those whose ratio in wall time is wanted.
LARGE = Effort(rounds=3, round_s=0.25, budget_s=2.0)
PAIRS = Effort(rounds=8, round_s=0.25, budget_s=5.0)
QUICK = Effort(rounds=1, round_s=0.01, budget_s=0.2)


@dataclass(frozen=True)
class Timing:
    """Medians for one call: ``wall_s``, ``cpu_s`` of this process; ``others`` is how many cores others kept busy."""

    wall_s: float
    cpu_s: float
    others: float
    rounds: int


def busy_s() -> float:
    """Seconds that all cores together were busy since boot; 0 where the system does not say."""
    try:
        first = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    except OSError:
        return 0.0
    user, nice, system, _idle, _wait, irq, soft, steal = (float(f) for f in first[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _own_s() -> float:
    t = os.times()
    return t.user + t.system + t.children_user + t.children_system


def _once(work: Callable[[], object], calls: int) -> Timing:
    busy, own, wall, cpu = busy_s(), _own_s(), time.perf_counter(), time.process_time()
    for _ in range(calls):
        work()
    spent, used = time.perf_counter() - wall, time.process_time() - cpu
    others = max(0.0, (busy_s() - busy) - (_own_s() - own)) / spent
    return Timing(spent / calls, used / calls, others, 1)


def median(timings: Sequence[Timing]) -> Timing:
    """Medians of single rounds."""
    return Timing(
        statistics.median(t.wall_s for t in timings),
        statistics.median(t.cpu_s for t in timings),
        statistics.median(t.others for t in timings),
        len(timings),
    )


def measure_in_turn(works: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, list[Timing]]:
    """One timing of each for every round: in a round all take their turn, so that others disturb all of them alike.

    Until there are ``effort.rounds`` quiet rounds or the budget ends; the quietest rounds are returned.
    """
    began = time.perf_counter()
    calls: dict[str, int] = {}
    for name, work in works.items():
        work()
        first = _once(work, 1).wall_s
        calls[name] = max(1, round(effort.round_s / max(first, 1e-7)))
    rounds: list[dict[str, Timing]] = []
    while sum(_disturbance(r) < QUIET_CORES for r in rounds) < effort.rounds:
        if len(rounds) >= effort.rounds and time.perf_counter() - began > effort.budget_s * len(works):
            break
        rounds.append({name: _once(work, calls[name]) for name, work in works.items()})
    chosen = sorted(rounds, key=_disturbance)[: effort.rounds]
    return {name: [r[name] for r in chosen] for name in works}


def _disturbance(one_round: Mapping[str, Timing]) -> float:
    return max(timing.others for timing in one_round.values())


def medians(found: Mapping[str, list[Timing]]) -> dict[str, Timing]:
    """Medians of every work of :func:`measure_in_turn`."""
    return {name: median(timings) for name, timings in found.items()}


def ratio(slow: Sequence[Timing], fast: Sequence[Timing], clock: Callable[[Timing], float]) -> float:
    """How many times as long a call of ``slow`` takes: each round compared within itself, then the median."""
    return statistics.median(clock(a) / max(clock(b), 1e-12) for a, b in zip(slow, fast, strict=True))


def cpu(timing: Timing) -> float:
    """Processor time of a call, which others lengthen only by the caches and memory that they use."""
    return timing.cpu_s


def wall(timing: Timing) -> float:
    """Time of a call by the clock on the wall."""
    return timing.wall_s


def measure(work: Callable[[], object], effort: Effort) -> Timing:
    """Medians of one work, see :func:`measure_in_turn`."""
    return median(measure_in_turn({"work": work}, effort)["work"])
