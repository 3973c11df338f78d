"""What the bridge must not forget when it is killed: bag numbers, the open bag, recent events. One small file."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from edge import reserve
from edge.messages import DeviceEvent
from edge.reserve import Reserve

#: Events that ``events_since`` can give back; a bag makes two.
RECENT_EVENTS = 512
#: More than a state with that many events needs.
RESERVE_BYTES = 1 << 20


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
        self._reserve = Reserve(path.with_suffix(".reserve"), RESERVE_BYTES, self._log)
        self._refused = False

    def load(self) -> BridgeState:
        """The newest saved state, or a fresh one."""
        states = [self._load()]
        for record in reserve.unpack(self._reserve.read())[0]:
            with suppress(ValidationError):
                states.append(BridgeState.model_validate_json(record))
        self._reserve.take()
        known = [state for state in states if state is not None]
        return max(known, key=lambda state: state.next_seq) if known else fresh()

    def _load(self) -> BridgeState | None:
        try:
            return BridgeState.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            self._log.error("%s cannot be read (%s); bag numbers start again", self.path, error)
            if self.path.exists():
                self.path.replace(self.path.with_suffix(".damaged"))
            return None

    def save(self, state: BridgeState) -> None:
        """Replace the file; it holds the old or the new state whenever the power goes.

        A disk that is full leaves the reserved space beside it; one that refuses that too costs memory across a
        restart, not the bridge.
        """
        content = state.model_dump_json().encode()
        try:
            self._replace(content)
        except OSError as error:
            if not self._refused:
                self._log.critical("%s cannot be written (%s); free some space", self.path, error)
            self._refused = True
            self._reserve.write(0, reserve.pack(content) + reserve.END)
            return
        if self._refused:
            self._log.warning("%s is written again", self.path)
            self._refused = not self._reserve.write(0, reserve.END)

    def _replace(self, content: bytes) -> None:
        part = self.path.with_suffix(".part")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self.path)
