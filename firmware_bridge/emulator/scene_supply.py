"""Scenes prepared ahead by a child process, one at a time, always for the masks as they stand."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from firmware_bridge.emulator.alignment import Alignment
from firmware_bridge.emulator.plan import PlanItem
from firmware_bridge.emulator.render import PreparedScene
from firmware_bridge.scanner import Scanner

#: A scene prepared for a mask this near is good, µm (readout steps of the axis).
SAME_MASK_UM: Final = 0.02
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - used by way of tempfile only


class SceneError(RuntimeError):
    """The child process died; its own words are in the log above."""


class SceneSupply:
    """Prepares the items of a plan in order. Poll :meth:`ready` with the masks as they stand. Context manager."""

    def __init__(self, items: tuple[PlanItem, ...], scanner: Scanner, config: Path | None) -> None:
        self._items = items
        self._scanner = scanner
        self._next = 0
        self._asked: Alignment | None = None
        self._scene: PreparedScene | None = None
        self._buffer = b""
        folder = _SHARED_MEMORY if os.access(_SHARED_MEMORY, os.W_OK) else None
        self._folder = tempfile.TemporaryDirectory(prefix="darklane-scenes-", dir=folder, ignore_cleanup_errors=True)
        command = [sys.executable, "-m", "firmware_bridge.emulator.scene_worker", self._folder.name]
        self._child = subprocess.Popen(
            command + ([] if config is None else [str(config)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def __enter__(self) -> SceneSupply:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child and remove its files (scenes handed out stay valid)."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._folder.cleanup()

    @property
    def exhausted(self) -> bool:
        """True when every item has been taken."""
        return self._next >= len(self._items)

    def ready(self, masks: Alignment) -> tuple[PlanItem, PreparedScene] | None:
        """The next item if it is prepared for these masks; never waits. :meth:`take` moves on."""
        if self.exhausted:
            return None
        self._collect()
        if self._scene is not None and self._fits(masks):
            return self._items[self._next], self._scene
        if self._scene is not None or self._asked is None:
            self._ask(masks)
        return None

    def take(self, masks: Alignment) -> None:
        """Go on to the next item; its preparation starts at once."""
        self._scene, self._asked = None, None
        self._next += 1
        self.ready(masks)

    def _fits(self, masks: Alignment) -> bool:
        return self._asked is not None and self._asked.distance_um(masks, self._scanner) <= SAME_MASK_UM

    def _ask(self, masks: Alignment) -> None:
        request = {"item": self._items[self._next].model_dump(mode="json"), "masks": list(masks)}
        self._scene, self._asked = None, masks
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError as error:
            raise SceneError("the process that prepares scenes has ended; see the log above") from error

    def _collect(self) -> None:
        assert self._child.stdout is not None
        fd = self._child.stdout.fileno()
        while select.select([fd], [], [], 0)[0]:
            data = os.read(fd, 1 << 16)
            if not data:
                raise SceneError(
                    f"the process that prepares scenes ended (item {self._next} of the plan); see the log above"
                )
            self._buffer += data
        if b"\n" not in self._buffer:
            return
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer = json.loads(line)
        path = Path(answer["path"])
        expected = np.load(path, mmap_mode="r")
        path.unlink()
        self._scene = PreparedScene(
            answer["length_um"], answer["u0_um"], answer["du_um"], expected, dict(answer["truth"])
        )
