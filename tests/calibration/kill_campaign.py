"""``darklane calibrate`` killed (SIGKILL) in every step and started again, on the emulated scanner.

``python -m tests.calibration.kill_campaign --seeds 2`` prints a table. ``session.json`` is the judge: what had passed
before the kill must be there unchanged afterwards, and the run that goes on must end CALIBRATED. All of it simulated.
"""

from __future__ import annotations

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from calibration.bundle import load_active
from calibration.sequence import SESSIONS
from calibration.session import Session, newest
from calibration.steps import STEPS
from tests.calibration.campaign import calibrate, command, judge, write_config

#: Between the last step and the activation of the bundle.
ACTIVATION = "activation"
#: A run that hangs is given up after this long, s.
PATIENCE_S = 300.0
_LOOK_S = 0.005
#: A step is killed so long after it began, at the latest, s.
LATEST_S = 2.0


@dataclass(frozen=True)
class Killed:
    """One kill: in which step it hit, and whether everything was as it must be afterwards."""

    seed: int
    aimed: str
    hit: str
    after_s: float
    kept: bool
    calibrated: bool
    good: bool


def passed(session: Session) -> dict[str, tuple[int, int, int]]:
    """What must not change: begin, end and exposures of every step that has passed."""
    steps = session.record.steps
    return {s.step: (s.started_ns, s.ended_ns, s.exposures) for s in steps if s.state == "passed"}


def kill_in(config: Path, seed: int, step: str, after_s: float, *more: str) -> Session:
    """Start the command, kill it ``after_s`` into ``step``; returns what is on the disk then."""
    sessions = config.parent / "lane" / "calibration" / SESSIONS
    before = list(STEPS) if step == ACTIVATION else list(STEPS)[: list(STEPS).index(step)]
    with (config.parent / "killed.log").open("w+b") as log:
        process = subprocess.Popen(command(config, seed, *more), stdout=subprocess.DEVNULL, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if process.poll() is not None:
                said = (config.parent / "killed.log").read_text(encoding="utf-8")[-2000:]
                raise AssertionError(f"the command ended before it could be killed in {step}: {said}")
            assert time.monotonic() < deadline, f"step {step} never began"
            session = newest(sessions)
            if session is not None and all(session.step(name).state == "passed" for name in before):
                break
            time.sleep(_LOOK_S)
        time.sleep(after_s)
    finally:
        process.kill()
        process.wait()
    found = newest(sessions)
    assert found is not None
    return found


def attempt(config: Path, seed: int, step: str, after_s: float) -> Killed:
    """Kill, go on, judge."""
    interrupted = kill_in(config, seed, step, after_s)
    had = passed(interrupted)
    open_steps = [s.step for s in interrupted.record.steps if s.state != "passed"]
    done = calibrate(config, seed)
    again = Session.open(interrupted.folder)
    active = load_active(config.parent / "lane" / "calibration")
    calibrated = done.returncode == 0 and active is not None and active.id == again.record.bundle_id
    if done.returncode:
        sys.stderr.write(done.stderr[-800:] + "\n")
    return Killed(
        seed=seed,
        aimed=step,
        hit=open_steps[0] if open_steps else "nothing" if interrupted.record.bundle_id else ACTIVATION,
        after_s=after_s,
        kept={name: value for name, value in passed(again).items() if name in had} == had,
        calibrated=calibrated,
        good=calibrated and judge(config, seed, done.stdout).good,
    )


@contextmanager
def lane(rows: int, scale: float) -> Iterator[Path]:
    """Configuration of a fresh lane, which is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="calibration-kills-"))
    try:
        yield write_config(folder, rows, scale)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Kill every step of ``--seeds`` scanners; 0 when nothing was lost and nothing repeated."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=41)
    parser.add_argument("--steps", default=",".join([*STEPS, ACTIVATION]), help="separated by commas")
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--scale", type=float, default=4.0)
    args = parser.parse_args()
    kills: list[Killed] = []
    chance = random.Random(args.first)  # noqa: S311 - not a secret
    sys.stdout.write("| scanner | killed in | after, s | what had passed is unchanged | CALIBRATED | truth met |\n")
    sys.stdout.write("|---|---|---|---|---|---|\n")
    for seed in range(args.first, args.first + args.seeds):
        for step in args.steps.split(","):
            after_s = 0.0 if step == ACTIVATION else chance.uniform(0, LATEST_S)
            while not kills or kills[-1].hit != step:  # a step that was over already: once more, and sooner
                with lane(args.rows, args.scale) as config:
                    kills.append(attempt(config, seed, step, after_s))
                marks = (("no", "yes")[value] for value in (kills[-1].kept, kills[-1].calibrated, kills[-1].good))
                sys.stdout.write(f"| {seed} | {kills[-1].hit} | {after_s:.2f} | {' | '.join(marks)} |\n")
                sys.stdout.flush()
                after_s *= 0.3
    # One that came after the end has interrupted nothing: the next run is a new one.
    kills = [kill for kill in kills if kill.hit != "nothing"]
    fine = sum(kill.kept and kill.calibrated and kill.good for kill in kills)
    sys.stdout.write(f"{fine} of {len(kills)} runs lost nothing, repeated nothing and ended CALIBRATED\n")
    return 0 if fine == len(kills) else 1


if __name__ == "__main__":
    sys.exit(main())
