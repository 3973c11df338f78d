"""``python -m tests.chaos [--bags N] [--seed N]``: a lane in a storm; one line of counts, 1 on a violation."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from edge.config import Config
from edge.lane import Lane
from tests.chaos.disk import MARK, SmallDisk, enter_namespace
from tests.chaos.driver import NAMES, Driver, configuration
from tests.chaos.judge import judge
from tests.chaos.storm import THREAT_ROWS, Storm


def main() -> int:
    """Calibrate unless given a calibrated lane, run, judge."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--bags", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--time-scale", type=float, default=4.0, help="times real time")
    parser.add_argument("--rows", type=int, default=THREAT_ROWS, help="of the detector; with fewer nothing alarms")
    parser.add_argument("--calibrated", type=Path, help="state directory of a lane that is calibrated already")
    parser.add_argument("--keep", type=Path, help="leave journal and logs in this folder, whatever happens")
    parser.add_argument(MARK, action="store_true", dest="namespace", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.namespace:
        enter_namespace("tests.chaos", sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="dl-chaos-") as name:
        folder = Path(name)
        calibrated = args.calibrated or calibrate(configuration(folder / "cal", args.time_scale, args.rows))
        state_dir = folder / "s"
        state_dir.mkdir()
        disk = SmallDisk(state_dir, namespace=args.namespace)
        shutil.copytree(calibrated / "calibration", state_dir / "calibration")
        scanner_dir = folder / "scanner"
        shutil.copytree(
            calibrated / "dev", scanner_dir / "dev", ignore=lambda _, names: set(names) - {"positions.json"}
        )
        storm = Storm.draw(args.seed, args.bags, NAMES, threats=args.rows >= THREAT_ROWS)
        driver = Driver(storm, configuration(state_dir, args.time_scale, args.rows), scanner_dir, disk)
        try:
            run = driver.run()
            line, wrong = judge(run)
        finally:
            if args.keep is not None:
                _keep(state_dir, scanner_dir, driver.said, args.keep)
            if args.namespace:
                os.chdir("/")
                os.system(f"umount {state_dir}")  # noqa: S605
    for violation in wrong:
        print(f"violation: {violation}")
    print(f"{line}; disk: {disk.name}")
    return 1 if wrong else 0


def calibrate(config: Config) -> Path:
    """Calibrate a lane by its own emulated scanner; returns its state directory."""
    state_dir = config.state_dir
    state_dir.mkdir()
    plan = state_dir / "plan.json"
    plan.write_text('{"items": []}', encoding="utf-8")
    with Lane(config, emulate=True, plan=str(plan), say=lambda _: None):
        pass
    return state_dir


def _keep(state_dir: Path, scanner_dir: Path, said: list[str], target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    (target / "said.txt").write_text("\n".join(said), encoding="utf-8")
    for path in (*state_dir.glob("journal*"), *(state_dir / "log").glob("*"), *scanner_dir.glob("*.jsonl"),
                 *scanner_dir.glob("*.toml"), *(scanner_dir / "log").glob("*")):  # fmt: skip
        shutil.copy(path, target)


if __name__ == "__main__":
    sys.exit(main())
