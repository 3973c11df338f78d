"""One bag on the belt, as the readout sees it: where its columns lie, which frames belong to it, what was lost.

Positions are belt coordinates u or belt travels s, both µm. Column c of a frame at travel s sees u = s − offset_c,
so a frame touches the window [from, to] of a bag while s lies in [from + least offset − h, to + largest offset + h].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge.config import Config
from edge.messages import Arrays
from edge.readout.ports import FrameLike
from firmware_bridge.scanner import BINS, COLUMNS, GROUPS

#: Consecutive frame numbers further apart on the belt than so many nominal steps: the detector paused.
UNSEEN_STEPS = 4.0
#: A belt that moves, but at a speed further from the nominal one than this fraction, is starting, stopping, or its
#: encoder slips. A bag that travels further than SLIP_UM in this way has no sure place on the belt.
SPEED_TOLERANCE = 0.3
SLIP_UM = 5000.0
#: Slower than this fraction of the nominal speed, the belt stands.
STANDS = 0.05


@dataclass(frozen=True)
class Geometry:
    """What places a bag's window on the belt; all lengths in µm."""

    grid_um: float
    encoder_um: float
    barrier_um: float
    lead_air_um: float
    max_bag_um: float
    least_offset_um: float
    largest_offset_um: float
    step_um: float

    @classmethod
    def of(cls, config: Config) -> Geometry:
        """Geometry of one lane."""
        scanner = config.scanner
        offsets = scanner.column_offsets_um()
        return cls(
            grid_um=scanner.object_grid_um,
            encoder_um=scanner.encoder_um,
            barrier_um=scanner.barrier_to_beam_mm * 1e3,
            lead_air_um=config.belt.lead_air_mm * 1e3,
            max_bag_um=config.belt.max_bag_mm * 1e3,
            least_offset_um=min(offsets),
            largest_offset_um=max(offsets),
            step_um=scanner.step_um,
        )


def lost_between(number: int, next_number: int, moved_um: float, geometry: Geometry) -> int:
    """Frames that are missing between two received ones while the belt moved by ``moved_um``.

    Numbers tell, except when the detector started again (at least one is missing), or paused and counted on:
    then the belt tells.
    """
    missing = next_number - number - 1
    if missing < 0:
        missing = 1
    step = max(geometry.step_um, geometry.grid_um / UNSEEN_STEPS)
    if moved_um > UNSEEN_STEPS * step * (missing + 1):
        missing = max(missing, round(moved_um / geometry.step_um) - 1)
    return missing


def odd_travel(missing: int, moved_um: float, geometry: Geometry) -> float:
    """The part of ``moved_um`` between two frames with none ``missing`` that no belt at its speed makes, µm."""
    moved = abs(moved_um)
    slack_um = max(SPEED_TOLERANCE * geometry.step_um, 2 * geometry.encoder_um)
    if missing or moved < STANDS * geometry.step_um or abs(moved_um - geometry.step_um) <= slack_um:
        return 0.0
    return moved


@dataclass
class BagWindow:
    """State of one bag between its entry and its last slab."""

    geometry: Geometry
    bag_id: str
    entry_encoder: int
    opened_s: float
    begun: bool = False
    trailing_um: float | None = None
    #: Slabs and columns already taken.
    index: int = 0
    column0: int = 0
    frames: int = 0
    first_frame_t_ns: int = 0
    last_frame_t_ns: int = 0
    lost_packets_before: int = 0
    #: Travel since its entry at a speed that the belt does not have, µm.
    odd_um: float = 0.0
    _lost: int = 0
    _unsure: list[tuple[float, float, int]] = field(default_factory=list)

    @property
    def entry_um(self) -> float:
        """Belt travel when the leading edge was at the light barrier."""
        return self.entry_encoder * self.geometry.encoder_um

    @property
    def leading_um(self) -> float:
        """u of the leading edge."""
        return self.entry_um + self.geometry.barrier_um

    @property
    def origin_um(self) -> float:
        """u of column 0: the air before the bag comes first."""
        return self.leading_um - self.geometry.lead_air_um

    @property
    def first_travel_um(self) -> float:
        """Frames before this travel do not see the window."""
        return self.origin_um + self.geometry.least_offset_um - self.geometry.grid_um

    @property
    def last_travel_um(self) -> float:
        """Frames behind this travel do not see the window; infinite while the exit is not known."""
        if self.trailing_um is None:
            return math.inf
        return self._last_travel(self.trailing_um)

    @property
    def oversize_travel_um(self) -> float:
        """At this travel the window of the longest allowed bag has been seen whole."""
        return self._last_travel(self.leading_um + self.geometry.max_bag_um)

    @property
    def columns(self) -> int | None:
        """Columns of the whole window; None while the exit is not known."""
        if self.trailing_um is None:
            return None
        return math.floor((self.trailing_um + self.geometry.lead_air_um - self.origin_um) / self.geometry.grid_um) + 1

    def exit_at(self, encoder: int) -> float:
        """The trailing edge was at the light barrier at this encoder count; returns the bag's length, µm."""
        self.trailing_um = encoder * self.geometry.encoder_um + self.geometry.barrier_um
        return self.trailing_um - self.leading_um

    def missed_start(self, travel_um: float) -> bool:
        """Whether a recording that begins at this travel would lack the first columns."""
        return travel_um > self.first_travel_um + self.geometry.grid_um

    def header(self) -> dict[str, Any]:
        """Fields of the next slab that this window knows."""
        return {
            "bag_id": self.bag_id,
            "scan_id": self.bag_id,
            "index": self.index,
            "column0": self.column0,
            "grid_um": self.geometry.grid_um,
            "origin_um": self.origin_um,
            "bag_from_um": self.leading_um,
            "bag_to_um": self.trailing_um,
            "frames": self.frames,
            "lost_frames": self.lost_frames,
            "first_frame_t_ns": self.first_frame_t_ns,
            "last_frame_t_ns": self.last_frame_t_ns,
        }

    def saw(self, frames: Sequence[FrameLike]) -> None:
        """These frames were summed for this bag."""
        self.first_frame_t_ns = self.first_frame_t_ns or frames[0].t_ns
        self.last_frame_t_ns = frames[-1].t_ns + frames[-1].exposure_ns
        self.frames += len(frames)

    def lose(self, from_um: float, to_um: float, count: int) -> None:
        """``count`` frames between two received ones, at these travels, never came."""
        if count == 0 or to_um < self.first_travel_um or from_um > self.last_travel_um:
            return
        if self._unsure and self._unsure[-1][:2] == (from_um, to_um):
            count += self._unsure.pop()[2]
        self._unsure.append((from_um, to_um, count))
        if self.trailing_um is not None:
            self._lost = self._settled()
            self._unsure = []

    @property
    def lost_frames(self) -> int:
        """Frames of this bag's window that are known to be lost."""
        return self._settled()

    def _settled(self) -> int:
        return self._lost + sum(self._inside(*gap) for gap in self._unsure)

    def _inside(self, from_um: float, to_um: float, count: int) -> int:
        """How many of ``count`` frames, evenly spread between two travels, lie in the window."""
        first, last = self.first_travel_um, self.last_travel_um
        low, high = min(from_um, to_um), max(from_um, to_um)
        pitch = (high - low) / (count + 1)
        if pitch == 0:
            return count if first <= low <= last else 0
        before = max(0, math.ceil((first - low) / pitch) - 1)
        behind = 0 if last >= high else max(0, count - math.floor((last - low) / pitch))
        return max(0, count - before - behind)

    def _last_travel(self, trailing_um: float) -> float:
        g = self.geometry
        return trailing_um + g.lead_air_um + g.largest_offset_um + g.grid_um


def empty_arrays(rows: int) -> Arrays:
    """Arrays of a slab without columns."""
    weights = np.zeros((COLUMNS, 0), np.float32)
    return {
        "phase_sums": np.zeros((GROUPS, len(BINS), rows, 0), np.float32),
        "weights": weights,
        "weights_sq": weights,
    }
