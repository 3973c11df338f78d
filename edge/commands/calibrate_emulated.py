"""An emulated scanner for one run of ``darklane calibrate --emulate``; its x-rays are simulated."""

from __future__ import annotations

import json
import random
from importlib import resources
from pathlib import Path
from typing import Any

from calibration.session import Session
from edge.config import Config, dump
from edge.emulated import EmulatedScanner

#: What a service engineer may find, each uniform within ± this much.
ROTATION_MRAD, PLACE_UM, DRIFT_PER_MIN = 2.0, 30.0, 0.03
#: Half a percent of bad pixels.
DEAD, HOT = 0.003, 0.002
#: Free belt behind each item of a run with several, mm: the belt stops between them.
GAP_MM = 120.0
#: What each step wants on the belt, in their order.
ON_THE_BELT = {
    "tray": "tray",
    "stepped": "tray",
    "linearity": "wedges",
    "regions": "samples",
    "verification": "phantom",
}
#: Certificate of the simulated phantom.
CERTIFICATE = ("firmware_bridge.emulator.data", "phantom.json")


class EmulatedRun:
    """Context manager: the emulated scanner below the state directory, with what the open steps need on its belt."""

    def __init__(self, config: Config, session: Session) -> None:
        self._config = config
        self._session = session
        self.scanner: EmulatedScanner | None = None

    @staticmethod
    def configuration(config: Config, seed: int, *, misaligned: bool, apart: bool) -> Config:
        """``config`` for scanner ``seed``, put out of place when ``misaligned``; what its table says itself stays.

        ``apart``: several items come, and the belt stops between them.
        """
        table: dict[str, Any] = {"bag_gap_mm": GAP_MM} if apart else {}
        if misaligned:
            chance = random.Random(seed)  # noqa: S311 - not a secret
            table |= {
                "misalignment_rot_z_mrad": chance.uniform(-ROTATION_MRAD, ROTATION_MRAD),
                "misalignment_rot_x_mrad": chance.uniform(-ROTATION_MRAD, ROTATION_MRAD),
                "misalignment_x_um": chance.uniform(-PLACE_UM, PLACE_UM),
                "tube_drift_per_min": chance.uniform(-DRIFT_PER_MIN, DRIFT_PER_MIN),
                "dead_pixels": DEAD,
                "hot_pixels": HOT,
            }
        changed: dict[str, Any] = {"emulator": table | (config.emulator or {}) | {"seed": seed}}
        if config.calibration.phantom_certificate is None:
            file = Path(str(resources.files(CERTIFICATE[0]).joinpath(CERTIFICATE[1])))
            changed["calibration"] = config.calibration.model_copy(update={"phantom_certificate": file})
        return config.model_copy(update=changed)

    def __enter__(self) -> EmulatedRun:
        state_dir = self._config.state_dir
        state_dir.mkdir(parents=True, exist_ok=True)
        file, plan = state_dir / "lane.toml", state_dir / "calibration-plan.json"
        file.write_text(dump(self._config), encoding="utf-8")
        wanted = [step.step for step in self._session.record.steps if step.state != "passed"]
        items = [{"kind": kind, "tag": kind} for step, kind in ON_THE_BELT.items() if step in wanted]
        plan.write_text(json.dumps({"items": items}), encoding="utf-8")
        self.scanner = EmulatedScanner(file, state_dir, str(plan), tray_first=False)
        try:
            self.scanner.wait_ready()
        except BaseException:
            self.scanner.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if self.scanner is not None:
            self.scanner.stop()
