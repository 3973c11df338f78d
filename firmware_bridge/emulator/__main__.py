"""``python -m firmware_bridge.emulator``: the emulated scanner as a process (simulated x-rays, real packets)."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from firmware_bridge.detector_settings import SettingsError
from firmware_bridge.emulator import fault_script, lane_file
from firmware_bridge.emulator.fault_script import FaultScriptError
from firmware_bridge.emulator.plan import Plan, PlanError, PlanItem, load_plan
from firmware_bridge.emulator.rig import Rig, catalogue

#: On a busy machine the emulated belt is to slow down before the services do.
NICENESS = 2
#: A scanner that ends leaves its devices to the next one within this time, s.
HANDOVER_S = 10.0
#: What calibration asks for first: the reference tray.
TRAY = PlanItem(kind="tray", seed=0, tag="reference-tray")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridge.emulator",
        description="Emulated scanner: detector, belt controller, stages, x-ray tube. All its data are simulated.",
    )
    parser.add_argument("--config", type=Path, help="the lane's TOML file; default: all defaults")
    parser.add_argument("--plan", required=True, help="which bags come: a JSON file, or the name of a shipped plan")
    parser.add_argument("--dev-dir", type=Path, required=True, help="folder for the links to the serial devices")
    parser.add_argument("--truth", type=Path, required=True, help="JSON lines: what each bag really holds")
    parser.add_argument("--faults", help="what fails: a TOML file or a shipped scenario; several: separated by commas")
    parser.add_argument("--tray-first", action="store_true", help="put the calibration tray before the plan's items")
    parser.add_argument("--exit-at-end", action="store_true", help="end when the last item has passed")
    parser.add_argument(
        "--while-stdin", action="store_true", help="end when stdin is closed, as it is when whoever started this dies"
    )
    return parser.parse_args()


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Only one scanner at a time serves ``folder``; OSError when another one still does after :data:`HANDOVER_S`."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + HANDOVER_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(f"another emulated scanner serves {folder}; end it first") from None
                time.sleep(0.05)
            else:
                break
        yield
    finally:
        os.close(lock)


def main() -> int:
    """Run until SIGTERM, SIGINT or (with --exit-at-end) the end of the plan. 2: bad arguments."""
    args = arguments()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s emulator %(levelname)s %(message)s", stream=sys.stderr)
    try:
        lane = lane_file.read(args.config)
        plan = load_plan(args.plan)
        scripts = fault_script.load_all(args.faults, catalogue()) if args.faults else ()
        fault_script.check_bags(scripts, len(plan.items))
    except (lane_file.LaneFileError, PlanError, FaultScriptError) as error:
        logging.error("%s", error)
        return 2
    if args.tray_first:
        plan = Plan(items=(TRAY, *plan.items))
    running = True

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal running
        running = False

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)

    def watch() -> None:
        # Not through sys.stdin: its buffer, locked by this thread, would make the interpreter's own end fatal.
        while os.read(sys.stdin.fileno(), 4096):
            pass
        stop(0, None)

    if args.while_stdin:
        threading.Thread(target=watch, daemon=True).start()
    args.truth.parent.mkdir(parents=True, exist_ok=True)
    ending = ExitStack()
    try:
        ending.enter_context(alone(args.dev_dir))
        made = Rig(lane, plan, args.dev_dir, args.truth, args.config, scripts)
    except (OSError, SettingsError) as error:
        logging.error("%s", error)
        return 2
    os.nice(NICENESS)
    with ending, made as rig:
        rig.frame()
        sys.stdout.write("READY\n")
        sys.stdout.flush()
        while running and not (args.exit_at_end and rig.ended):
            rig.frame()
        logging.info("%d frames sent, %.1f mm of belt", rig.frames, rig.world.travel_um / 1e3)
    return 0


if __name__ == "__main__":
    sys.exit(main())
