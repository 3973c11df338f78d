"""What the bridge must not forget when it is killed: bag numbers, the open bag, recent events. One small file."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.messages import DeviceEvent

#: Events that ``events_since`` can give back; a bag makes two.
RECENT_EVENTS = 512


class BridgeState(BaseModel):
    """Content of the file. ``boot`` and ``event_seq`` name the newest event taken from the belt controller.

    ``scanned_at``: encoder from which on ``last_bag``, the newest that left the barrier, is out of the beam.
    """

    model_config = ConfigDict(extra="ignore")

    next_seq: int
    next_bag: int = 1
    encoder: int = 0
    open_bag: str = ""
    last_bag: str = ""
    scanned_at: int = 0
    interlock_closed: bool | None = None
    estop: bool | None = None
    beam_on: bool = False
    events: list[DeviceEvent] = []
    boot: int | None = None
    event_seq: int = 0


def fresh() -> BridgeState:
    """State of a bridge that remembers nothing.

    The event counter starts at the clock (ms since 1970): it keeps growing even when the file was lost, so no
    reader takes a new event for one that it already has.
    """
    return BridgeState(next_seq=time.time_ns() // 1_000_000)


class StateStore:
    """Loads and saves the state; a damaged file is put aside, named in the log, and never stops the bridge."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._log = logging.getLogger("bridge")

    def load(self) -> BridgeState:
        """The saved state, or a fresh one."""
        try:
            return BridgeState.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return fresh()
        except (OSError, ValidationError) as error:
            self._log.error("%s cannot be read (%s); bag numbers start again", self.path, error)
            if self.path.exists():
                self.path.replace(self.path.with_suffix(".damaged"))
            return fresh()

    def save(self, state: BridgeState) -> None:
        """Replace the file; it holds the old or the new state whenever the power goes."""
        part = self.path.with_suffix(".part")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(state.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
