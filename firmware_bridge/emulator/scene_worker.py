"""Child process that prepares scenes: JSON lines in on stdin, arrays out as files, JSON lines out on stdout.

A process of its own, so that the second of computing a bag never holds up the frame clock. It ends when its
parent's pipe closes.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Final

import numpy as np

from firmware_bridge.emulator import lane_file, render
from firmware_bridge.emulator.alignment import Alignment
from firmware_bridge.emulator.plan import PlanItem

#: Scenes wait for nobody: the frame clock goes first.
NICENESS: Final = 5


def main() -> int:
    """``scene_worker FOLDER [CONFIG]``: answer every request until stdin ends."""
    folder = Path(sys.argv[1])
    lane = lane_file.read(Path(sys.argv[2]) if len(sys.argv) > 2 else None)
    os.nice(NICENESS)
    for number, line in enumerate(sys.stdin):
        request = json.loads(line)
        scene = render.prepare(
            lane.scanner, lane.emulator, PlanItem.model_validate(request["item"]), Alignment(*request["masks"])
        )
        path = folder / f"scene-{number}.npy"
        np.save(path, scene.expected)
        answer = {
            "path": str(path),
            "length_um": scene.length_um,
            "u0_um": scene.u0_um,
            "du_um": scene.du_um,
            "truth": scene.truth,
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    # The parent is gone; when it was killed, nobody else removes what it left in shared memory.
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
