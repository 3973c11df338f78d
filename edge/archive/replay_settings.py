"""What a replay needs before it starts: the bag's own settings and its calibration, in a fresh state directory."""

from __future__ import annotations

import time
from pathlib import Path

from calibration.bundle import BundleError, load
from edge.archive.reader import BagFile
from edge.config import Config

#: A replayed bag is computed as fast as the box can; it has at least this long before UNKNOWN/Timeout.
LEAST_DEADLINE_S = 120.0


class ReplayError(RuntimeError):
    """The bag cannot be replayed; the message says why and what to do."""


def replay_config(bag: BagFile, state_dir: Path, run_dir: Path) -> Config:
    """The settings under which ``bag`` was scanned, for a lane in ``state_dir``."""
    tables = dict(bag.lane)
    tables["lane"] = {**tables.get("lane", {}), "state_dir": str(state_dir), "run_dir": str(run_dir)}
    tables["scanner"] = bag.scanner.model_dump(mode="json")
    config = Config.model_validate(tables)
    scanned_ns = max((slab.first_frame_t_ns for slab in bag.slab_headers), default=0)
    since_h = max(0.0, (time.time_ns() - scanned_ns) / 3.6e12) if scanned_ns else 0.0
    # A calibration that was young enough when the bag was scanned is young enough now, and one too old stays too old.
    aged = config.calibration.model_copy(update={"max_age_h": config.calibration.max_age_h + since_h + 1 / 60})
    patient = config.verdict.model_copy(update={"deadline_s": max(config.verdict.deadline_s, LEAST_DEADLINE_S)})
    return config.model_copy(update={"calibration": aged, "verdict": patient})


def copy_calibration(bag: BagFile, given: Path | None, state_dir: Path) -> None:
    """Put the bag's calibration bundle into ``state_dir`` and activate it; nothing for a bag scanned without one."""
    wanted = next((slab.calibration_id for slab in bag.slab_headers if slab.calibration_id), "")
    if not wanted:
        return
    source = given or bag.path.resolve().parent.parent / "calibration"
    if source.is_dir():
        source = source / f"{wanted}.h5"
    if not source.is_file():
        raise ReplayError(f"{source}: no such file; name the bundle of {wanted} with --calibration")
    try:
        bundle = load(source)
    except BundleError as error:
        raise ReplayError(str(error)) from error
    if bundle.id != wanted:
        raise ReplayError(
            f"{source} is calibration {bundle.id}; the bag's sums were made with the pixel mask of {wanted}"
        )
    # Checked above; here it belongs to a throw-away lane with a key of its own.
    bundle.save(state_dir / "calibration")
