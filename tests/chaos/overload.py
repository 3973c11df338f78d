"""Bags closer together than a whole lane can process them: ``python -m tests.chaos.overload [--bags N]``.

The lane is a small one on the emulated scanner, real processes, with a short deadline. Inference is stopped (SIGSTOP)
but for short moments, and altogether while it is ahead of one bag in COST_S: so each bag costs twice the distance to
the next, however fast the machine is. Every bag must have one final verdict, in the order of the belt: its result, or
UNKNOWN/Timeout at its deadline and the result as a supplement later; every bag must be processed and archived. One line
of counts; exit code 1 when one of it does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from edge.config import Config
from edge.lane import Lane
from edge.messages import Decision, Fault, Verdict
from edge.verdict.journal import FILE_NAME
from edge.verdict.journal_reader import JournalReader
from tests.chaos.__main__ import calibrate
from tests.hil.conftest import small_config

#: Of each period inference runs so long, s, or until somebody looks again; if it runs at all.
PERIOD_S: Final = 0.25
RUNS_S: Final = 0.02
#: It may judge one bag in so many s; they come every 1.2 s or so.
COST_S: Final = 2.5
DEADLINE_S: Final = 12.0
#: A verdict may be so late beside its deadline, s: ticks of the service, and of who measures.
SLACK_S: Final = 5.0
#: From the last bag to the last supplement, s.
PATIENCE_S: Final = 300.0


def configuration(state_dir: Path, time_scale: float) -> Config:
    """Bags 30 mm apart and a deadline of a few of them."""
    return small_config(
        state_dir,
        verdict={"deadline_s": DEADLINE_S, "diverter_mm": 10_000.0},
        archive={"sheets": False},
        emulator={"time_scale": time_scale, "bag_gap_mm": 30.0},
    )


class Throttle:
    """Lets a process run for a part of every period, and not when it is ahead; :meth:`turn` often."""

    def __init__(self) -> None:
        self._running = True
        self._begun: float | None = None

    def turn(self, pid: int, *, on: bool, entered: int, judged: int) -> None:
        """``on`` False: it may run. ``entered``: bags so far, ``judged``: those with a result."""
        now = time.monotonic()
        if entered and self._begun is None:
            self._begun = now
        allowed = 0.0 if self._begun is None else (now - self._begun) / COST_S
        running = not on or (judged < allowed and now % PERIOD_S < RUNS_S)
        if running != self._running:
            self._running = running
            os.kill(pid, signal.SIGCONT if running else signal.SIGSTOP)


def run(state_dir: Path, bags: int, time_scale: float) -> tuple[str, list[str]]:
    """The line of counts, and every violation in words."""
    items = [{"kind": "phone", "seed": 820_000 + bag, "tag": f"o{bag}"} for bag in range(bags)]
    plan = state_dir / "plan.json"
    plan.write_text(json.dumps({"items": items}), encoding="utf-8")
    said: list[str] = []
    announced: dict[str, float] = {}
    waited: dict[str, float] = {}
    begun = time.monotonic()
    throttle = Throttle()
    with Lane(configuration(state_dir, time_scale), emulate=True, plan=str(plan), say=said.append) as lane:
        assert lane.supervisor is not None
        assert lane.scanner is not None
        process = lane.supervisor.children["inference"].process
        assert process is not None
        deepest = judged = 0
        try:
            while not (lane.finished and _told(lane)) and time.monotonic() - begun < PATIENCE_S:
                # All bags are in: now it may catch up, or the campaign takes as long as it is slow.
                throttle.turn(process.pid, on=lane.scanner.running, entered=len(announced), judged=judged)
                new = lane.step()
                judged += sum(verdict.reason is not Fault.TIMEOUT for verdict in new)
                now = time.monotonic()
                for bag_id in lane.result.entered:
                    announced.setdefault(bag_id, now)
                for verdict in new:
                    if verdict.final:
                        waited[verdict.bag_id] = now - announced.get(verdict.bag_id, now)
                deepest = max(deepest, len(announced) - len(waited))
        finally:
            os.kill(process.pid, signal.SIGCONT)
        order = list(lane.result.entered)
        restarts = sum(child.restarts for child in lane.supervisor.children.values())
    with JournalReader(state_dir / FILE_NAME) as reader:
        journal = reader.verdicts()
    archived = len(list((state_dir / "archive").glob("*.h5")))
    wrong = judge(bags, order, journal, waited)
    if archived != bags:
        wrong.append(f"{archived} bags are archived")
    if restarts:
        wrong.append(f"{restarts} restarts: a service did not stand it; {said[-5:]}")
    finals = Counter(_word(verdict) for verdict in journal if verdict.final)
    line = (
        f"overload: {bags} bags, {sum(finals.values())} final verdicts: "
        + ", ".join(f"{count} {word}" for word, count in sorted(finals.items()))
        + f"; at most {deepest} bags waited at once, {max(waited.values(), default=0.0):.1f} s at the longest "
        f"(deadline {DEADLINE_S:g} s); {len(journal) - sum(finals.values())} supplements, {archived} archived; "
        f"{len(wrong)} violations, {time.monotonic() - begun:.0f} s"
    )
    return line, wrong


def _told(lane: Lane) -> bool:
    """Whether every bag that timed out has its result too."""
    return all(len(said) > 1 or said[0].reason is not Fault.TIMEOUT for said in lane.result.verdicts.values())


def _word(verdict: Verdict) -> str:
    return verdict.decision.value + (f"/{verdict.reason.value}" if verdict.reason else "")


def judge(bags: int, order: list[str], journal: list[Verdict], waited: dict[str, float]) -> list[str]:
    """Every violation; ``order``: bags as they entered, ``waited``: s from entry to final verdict."""
    finals = [verdict for verdict in journal if verdict.final]
    wrong = [] if len(order) == bags else [f"{len(order)} of {bags} bags entered"]
    if [verdict.bag_id for verdict in finals] != order:
        wrong.append("final verdicts are not one for each bag in the order of the belt")
    late = [verdict for verdict in finals if verdict.reason is not None]
    wrong += [f"{v.bag_id} is {_word(v)}" for v in late if v.reason is not Fault.TIMEOUT]
    if not 0 < len(late) < bags:
        wrong.append(f"{len(late)} of {bags} bags were too late: no overload, or nothing but that")
    wrong += [f"{bag} waited {s:.1f} s" for bag, s in waited.items() if s > DEADLINE_S + SLACK_S]
    wrong += [f"{v.bag_id} timed out after {waited[v.bag_id]:.1f} s" for v in late if waited[v.bag_id] < DEADLINE_S - 1]
    told = list(dict.fromkeys(verdict.bag_id for verdict in journal if not verdict.final))
    if told != [verdict.bag_id for verdict in late]:
        wrong.append(f"of {len(late)} late bags {len(told)} have their result, in order or not")
    wrong += [f"{v.bag_id} has no result" for v in journal if not v.final and v.decision is Decision.UNKNOWN]
    return wrong


def main() -> int:
    """Calibrate unless given a calibrated lane, run, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.overload", description=__doc__)
    parser.add_argument("--bags", type=int, default=30)
    parser.add_argument("--time-scale", type=float, default=4.0, help="times real time")
    parser.add_argument("--calibrated", type=Path, help="state directory of a lane that is calibrated already")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dl-over-") as name:
        folder = Path(name)
        calibrated = args.calibrated or calibrate(configuration(folder / "cal", args.time_scale))
        state_dir = folder / "s"
        for part in ("calibration", "dev"):
            shutil.copytree(
                calibrated / part, state_dir / part,
                ignore=lambda at, names: set(names) - {"positions.json"} if at.endswith("dev") else set(),
            )  # fmt: skip
        line, wrong = run(state_dir, args.bags, args.time_scale)
    for violation in wrong:
        print(f"violation: {violation}")
    print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
