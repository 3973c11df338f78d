"""What lies on the belt and what the devices make of it: geometry only, no sockets and no clock.

Belt coordinate u is the belt travel at which a point passes the line of sight of column offset 0 (see scanner.py).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from firmware_bridge.emulator.plan import Faults, PlanItem
from firmware_bridge.emulator.render import PreparedScene
from firmware_bridge.scanner import Scanner

#: Free belt between the light barrier and a bag put down before it, mm.
APPROACH_MM: Final = 5.0
#: Air scanned after the last bag before the plan counts as ended, mm.
RUN_OUT_MM: Final = 60.0


class Settings(Protocol):
    """The part of EmulatorSettings that the world needs."""

    @property
    def bag_gap_mm(self) -> float: ...  # noqa: D102


@dataclass(frozen=True)
class Placed:
    """One item on the belt. ``lead_um``, ``trail_um``: belt coordinates of its edges."""

    item: PlanItem
    scene: PreparedScene
    lead_um: float
    entry_encoder: int
    exit_encoder: int

    @property
    def trail_um(self) -> float:
        """Belt coordinate of the trailing edge."""
        return self.lead_um + self.scene.length_um

    @property
    def ends_um(self) -> float:
        """Belt coordinate where the prepared scene ends (its edges scatter a little beyond the bag)."""
        scene = self.scene
        columns = int(scene.expected.shape[1])
        return max(self.trail_um, self.lead_um + scene.u0_um + columns * scene.du_um)

    def truth(self) -> dict[str, Any]:
        """The line of truth.jsonl."""
        return {
            "tag": self.item.tag,
            "kind": self.item.kind,
            "seed": self.item.seed,
            "simulated": True,
            "entry_encoder": self.entry_encoder,
            "exit_encoder": self.exit_encoder,
            "u_from_um": self.lead_um,
            "u_to_um": self.trail_um,
            "faults": self.item.faults.model_dump(mode="json"),
            **self.scene.truth,
        }


class World:
    """The belt under the scanner. Call :meth:`advance` once per frame."""

    def __init__(self, scanner: Scanner, settings: Settings) -> None:
        self._scanner = scanner
        self._gap_um = settings.bag_gap_mm * 1e3
        self._span_um = max(scanner.column_offsets_um())
        self._barrier_um = scanner.barrier_to_beam_mm * 1e3
        self._frames_moved = 0
        self._free_from_um = 0.0
        self._edges: deque[tuple[Literal["entry", "exit"], Placed]] = deque()
        self._placed: list[Placed] = []

    @property
    def travel_um(self) -> float:
        """Belt travel since the start, µm; computed from whole frames, so that it never drifts."""
        return self._frames_moved * self._scanner.step_um

    def encoder(self, travel_um: float) -> int:
        """Reading of the belt encoder at ``travel_um``."""
        return round(travel_um / self._scanner.encoder_um)

    @property
    def room(self) -> bool:
        """True when the next item could be put down now: nothing waits before the barrier, and the gap is there."""
        return not any(kind == "entry" for kind, _ in self._edges)

    def place(self, item: PlanItem, scene: PreparedScene) -> Placed:
        """Put ``item`` on the belt before the light barrier, behind what is there. Returns where it is."""
        count_um = self._scanner.encoder_um
        nearest = max(
            self.travel_um + self._barrier_um + APPROACH_MM * 1e3,
            self._free_from_um + self._gap_um,
            self._free_from_um - scene.u0_um,
        )
        # The leading edge crosses the barrier exactly on an encoder count: the event is exact.
        entry = math.ceil((nearest - self._barrier_um) / count_um)
        lead_um = entry * count_um + self._barrier_um
        exit_count = self.encoder(lead_um + scene.length_um - self._barrier_um)
        placed = Placed(item, scene, lead_um, entry, exit_count)
        self._free_from_um = placed.ends_um
        self._edges += (("entry", placed), ("exit", placed))
        self._placed.append(placed)
        return placed

    def redraw(self, make: Callable[[PlanItem], PreparedScene]) -> None:
        """Give everything that may be in view the scene that ``make`` computes for its item."""
        self._placed = [replace(placed, scene=make(placed.item)) for placed in self._placed]

    def advance(self, moving: bool) -> tuple[float, float]:
        """One frame: returns belt travel at its start and stop, µm (equal when the belt stands)."""
        start = self.travel_um
        self._frames_moved += moving
        stop = self.travel_um
        self._placed = [p for p in self._placed if p.ends_um > start - self._span_um]
        return start, stop

    def crossings(self) -> list[tuple[Literal["entry", "exit"], Placed]]:
        """Edges that have crossed the light barrier since the last call."""
        crossed = []
        now = self.encoder(self.travel_um)
        while self._edges:
            kind, placed = self._edges[0]
            if (placed.entry_encoder if kind == "entry" else placed.exit_encoder) > now:
                break
            crossed.append(self._edges.popleft())
        return crossed

    def segments(self) -> list[tuple[float, PreparedScene]]:
        """(leading edge, scene) of all that may be in view."""
        return [(p.lead_um, p.scene) for p in self._placed]

    def faults(self, start_um: float, stop_um: float) -> Faults | None:
        """The faults of the bag in view during this exposure, None when it has none."""
        for placed in self._placed:
            faults = placed.item.faults
            wanted = faults.packet_loss or faults.duplicate or faults.reorder or faults.late
            if wanted and stop_um >= placed.lead_um and start_um - self._span_um <= placed.trail_um:
                return faults
        return None

    def silent(self, start_um: float, stop_um: float) -> bool:
        """True while a bag's stream is cut off: from ``truncate_at_mm`` until no column sees the bag."""
        for placed in self._placed:
            cut_mm = placed.item.faults.truncate_at_mm
            if cut_mm is None:
                continue
            if stop_um >= placed.lead_um + cut_mm * 1e3 and start_um - self._span_um <= placed.trail_um:
                return True
        return False

    @property
    def run_out(self) -> bool:
        """True when all that was placed has left the field of view and RUN_OUT_MM of air followed."""
        return not self._edges and self.travel_um - self._span_um > self._free_from_um + RUN_OUT_MM * 1e3
