"""Seeded runs of ``darklane calibrate --emulate --misaligned`` against the truth.

``python -m tests.calibration.campaign --runs 20``

Each run is a process with an emulated scanner of its own. Truth is what the emulator computes without noise, for
the masks as the run left them. All of it is simulated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import kernels
from calibration.bundle import load
from calibration.session import Session
from firmware_bridge.emulator import lane_file, render
from firmware_bridge.emulator.alignment import Alignment
from firmware_bridge.scanner import COLUMNS
from kernels.types import IlluminationCurves

#: What the issue asks for: rms over rows, bins and groups.
CENTRE_UM, WIDTH, FLOOR, FOUND, FALSE = 0.3, 0.01, 0.03, 0.99, 0.001
CONFIG = """
[lane]
state_dir = "{state}"
[scanner]
native_rows = {rows}
[detector]
port = {port}
[detector_control]
port = {control}
[emulator]
time_scale = {scale}
"""


@dataclass(frozen=True)
class Recovered:
    """One run: errors as rms and as largest, floors relative; ``seconds`` of wall clock."""

    seed: int
    centre_um: float
    centre_largest_um: float
    width: float
    width_largest: float
    floor: float
    bad_pixels: int
    bad_found: float
    bad_false: float
    rotation_mrad: float
    place_um: float
    seconds: float
    exposures: int

    @property
    def good(self) -> bool:
        """Every demand of the issue is met."""
        return (
            self.centre_um <= CENTRE_UM
            and self.width <= WIDTH
            and self.floor <= FLOOR
            and self.bad_found >= FOUND
            and self.bad_false <= FALSE
        )


def free_port(kind: socket.SocketKind) -> int:
    """A port that nobody uses now."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def write_config(folder: Path, rows: int, scale: float) -> Path:
    """Configuration of a small lane below ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "small.toml"
    text = CONFIG.format(
        state=folder / "lane",
        rows=rows,
        scale=scale,
        port=free_port(socket.SOCK_DGRAM),
        control=free_port(socket.SOCK_STREAM),
    )
    path.write_text(text, encoding="utf-8")
    return path


def command(config: Path, seed: int, *more: str) -> list[str]:
    """The command, as a person would call it."""
    words = [sys.executable, "-m", "edge.commands", "calibrate", "--config", str(config), "--emulate", "--json"]
    return [*words, "--misaligned", "--seed", str(seed), "--no-report", *more]


def calibrate(config: Path, seed: int, *more: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        command(config, seed, *more), check=False, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
    )


def judge(config: Path, seed: int, printed: str) -> Recovered:
    """Compare what a run found with what the emulated scanner is."""
    said = json.loads(printed)
    lane = lane_file.read(config.parent / "lane" / "lane.toml")
    scanner, settings = lane.scanner, lane.emulator
    bundle, session = load(Path(said["file"])), Session.open(Path(said["session"]))
    align = session.step("align").values
    stands = {"m1_z": align["m1_z_um"], "m1_rot_z": align["m1_rot_z_mrad"], "m1_rot_x": align["m1_rot_x_mrad"]}
    at = np.asarray(session.arrays("scan")["positions_um"], np.float64)
    flats = []
    for x in at:
        masks = Alignment.of(scanner, settings, stands | {"m1_x": align["m1_x_um"] + float(x)})
        flats.append(render.air(scanner, settings, masks).transpose(1, 0, 2))
    truth = kernels.fit_curves(at, np.ascontiguousarray(np.stack(flats), np.float32))[0]
    centre = bundle.curves.centre.astype(np.float64) - truth.centre
    width = bundle.curves.width / truth.width - 1.0
    floor = bundle.curves.floor / truth.floor / output(bundle.curves, truth)[:, None] - 1.0
    gain, hot = render.pixel_gains(scanner, settings)
    bad = gain[0] == 0
    bad.ravel()[hot[hot < scanner.rows * COLUMNS]] = True
    masked = bundle.good_pixels[0] == 0
    return Recovered(
        seed=seed,
        centre_um=rms(centre),
        centre_largest_um=float(np.abs(centre).max()),
        width=rms(width),
        width_largest=float(np.abs(width).max()),
        floor=rms(floor),
        bad_pixels=int(bad.sum()),
        bad_found=float((masked & bad).sum() / max(bad.sum(), 1)),
        bad_false=float((masked & ~bad).sum() / (~bad).sum()),
        rotation_mrad=align["m1_rot_z_mrad"] + settings.misalignment_rot_z_mrad,
        place_um=align["m1_x_um"] + settings.misalignment_x_um,
        seconds=said["seconds"],
        exposures=said["exposures"],
    )


def output(found: IlluminationCurves, truth: IlluminationCurves) -> npt.NDArray[np.float64]:
    """Tube output during the run over the nominal one, (2,): drift of the tube is not an error of the floor."""
    return np.asarray(np.median(found.area / truth.area, axis=(1, 2)), np.float64)


def rms(values: npt.NDArray[np.floating[Any]]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def main() -> int:
    """Run the campaign; 0 when every run ended CALIBRATED and met the demands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--rows", type=int, default=128)
    parser.add_argument("--scale", type=float, default=3.0)
    args = parser.parse_args()
    met = 0
    for seed in range(args.first, args.first + args.runs):
        folder = Path(tempfile.mkdtemp(prefix="calibration-campaign-"))
        try:
            config = write_config(folder, args.rows, args.scale)
            done = calibrate(config, seed)
            if done.returncode:
                sys.stdout.write(json.dumps({"seed": seed, "failed": done.stderr[-600:]}) + "\n")
            else:
                run = judge(config, seed, done.stdout)
                met += run.good
                sys.stdout.write(json.dumps({"good": run.good} | asdict(run)) + "\n")
            sys.stdout.flush()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(f"{met} of {args.runs} runs meet every demand\n")
    return 0 if met == args.runs else 1


if __name__ == "__main__":
    sys.exit(main())
