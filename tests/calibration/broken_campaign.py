"""``darklane calibrate`` on broken emulated scanners: where it stops, what it says, and that the old bundle stays.

``python -m tests.calibration.broken_campaign`` prints a table for docs/how-to/calibrate.md. All of it is simulated;
the devices are emulated processes behind real serial lines and packets.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from calibration.bundle import load_active
from calibration.sequence import SESSIONS
from calibration.session import newest
from firmware_bridge.scanner import Scanner
from tests.calibration.campaign import calibrate, write_config
from tests.calibration.synthetic import bundle


@dataclass(frozen=True)
class Broken:
    """``emulator`` and ``calibration``: lines of these tables. The step that must stop, and what it must say."""

    emulator: str
    step: str
    says: str
    calibration: str = ""


CASES = {
    "tube: shutter closed": Broken("shutter = false", "beam", "0 % of the pixels count.*shutter"),
    "tube: interlock open": Broken('broken = ["tube interlock"]', "beam", "interlock"),
    "tube: filament broken": Broken('broken = ["tube filament"]', "", "filament"),
    "wrong kV": Broken("voltage = 0.9", "beam", r"80 kV commanded, 72\.\d+ kV measured"),
    "half the detector dead": Broken("dead_pixels = 0.5", "pixels", "% of the pixels.*serviced"),
    "axis m1_x stuck": Broken('broken = ["m1_x stuck"]', "align", "axis m1_x"),
    "axis m1_rot_z stuck": Broken('broken = ["m1_rot_z stuck"]', "align", "m1_rot_z|turned by"),
    "mask 1 missing": Broken("mask_1 = false", "align", "does not move with its axis, or is missing"),
    "mask far out of place": Broken("misalignment_rot_z_mrad = 19.9", "align", "would have to go to|by hand|turned by"),
    "detector silent": Broken('broken = ["detector silence"]', "dark", "no frame from the detector.*Check"),
    "singular working point": Broken("", "working-point", "singular.*working_point_um = ", "working_point_um = 5"),
}


@dataclass(frozen=True)
class Stopped:
    """What happened."""

    name: str
    step: str
    sentence: str
    old_stays: bool
    as_expected: bool


def attempt(name: str, folder: Path, rows: int, scale: float, seed: int) -> Stopped:
    """A lane in ``folder`` that has a calibration, its scanner broken; calibrate it."""
    case = CASES[name]
    config = write_config(folder, rows, scale)
    bundle(scanner=Scanner(native_rows=rows)).save(folder / "lane" / "calibration")
    before = load_active(folder / "lane" / "calibration")
    with config.open("a", encoding="utf-8") as file:
        file.write(f"{case.emulator}\n[calibration]\n{case.calibration}\n")
    done = calibrate(config, seed)
    after = load_active(folder / "lane" / "calibration")
    session = newest(folder / "lane" / "calibration" / SESSIONS)
    failed = [s.step for s in session.record.steps if s.state == "failed"] if session else []
    said = " ".join(done.stderr.split())
    sentence = said[said.rfind("error:") :].removeprefix("error:").strip() if "error:" in said else said[-400:]
    step = failed[0] if failed else ""
    stays = before is not None and after is not None and before.id == after.id
    fits = done.returncode == 1 and step == case.step and re.search(case.says, sentence) is not None
    return Stopped(name, step, sentence, stays, fits and stays)


def main() -> int:
    """Break one thing after the other; 0 when each stopped where it must with the old calibration in place."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--scale", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--only", default="", help="name of one case")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="calibration-broken-"))
    results: list[Stopped] = []
    try:
        for k, name in enumerate(CASES):
            if args.only in ("", name):
                results.append(attempt(name, work / str(k), args.rows, args.scale, args.seed))
                sys.stdout.write(json.dumps(results[-1].__dict__, ensure_ascii=False) + "\n")
                sys.stdout.flush()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for one in results:
        said = one.sentence.replace("|", "/")
        sys.stdout.write(f"| {one.name} | {one.step or 'before the first step'} | {said} | {one.old_stays} |\n")
    met = sum(one.as_expected for one in results)
    sys.stdout.write(f"{met} of {len(results)} stopped where they must, with the old calibration still active\n")
    return 0 if met == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
