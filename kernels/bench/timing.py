"""Timing on a machine that others may use too: what they took is measured and stated, quiet rounds are preferred."""

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
    """How long a measurement may take."""

    rounds: int
    round_s: float
    budget_s: float


FULL = Effort(rounds=5, round_s=0.3, budget_s=8.0)
QUICK = Effort(rounds=1, round_s=0.01, budget_s=0.2)


@dataclass(frozen=True)
class Timing:
    """Medians for one call: ``wall_s``, ``cpu_s`` of this process; ``others`` is how many cores others kept busy."""

    wall_s: float
    cpu_s: float
    others: float
    rounds: int

    @property
    def quiet(self) -> bool:
        """True when others left the machine alone."""
        return self.others < QUIET_CORES


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

    ``effort.rounds`` quiet rounds, or all rounds when the budget ends before there were as many.
    """
    began = time.perf_counter()
    calls: dict[str, int] = {}
    for name, work in works.items():
        work()
        first = _once(work, 1).wall_s
        calls[name] = max(1, round(effort.round_s / max(first, 1e-7)))
    quiet: list[dict[str, Timing]] = []
    rounds: list[dict[str, Timing]] = []
    while len(quiet) < effort.rounds:
        if len(rounds) >= effort.rounds and time.perf_counter() - began > effort.budget_s * len(works):
            break
        rounds.append({name: _once(work, calls[name]) for name, work in works.items()})
        if all(t.quiet for t in rounds[-1].values()):
            quiet.append(rounds[-1])
    chosen = quiet if len(quiet) >= effort.rounds else rounds
    return {name: [r[name] for r in chosen] for name in works}


def measure(work: Callable[[], object], effort: Effort) -> Timing:
    """Medians of one work, see :func:`measure_in_turn`."""
    return median(measure_in_turn({"work": work}, effort)["work"])
