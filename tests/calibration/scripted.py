"""A scanner that follows a script instead of a clock: frames are made when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from calibration.devices import AXES, Devices
from calibration.tray import Plate, Tray
from firmware_bridge.scanner import COLUMNS, GROUPS, Scanner
from tests.calibration.synthetic import AIR, SCANNER, X0_UM, Sample, counts, gains

#: Steps of two metals and two plastics; high-bin transmissions are not a function of the low-bin ones.
_STEPS = (
    (0.85, 0.89),
    (0.70, 0.77),
    (0.50, 0.60),
    (0.30, 0.42),
    (0.80, 0.88),
    (0.60, 0.74),
    (0.40, 0.58),
    (0.22, 0.42),
)
_STEP_MM = 8.0
TRAY = Tray(
    length_mm=4.0 + _STEP_MM * len(_STEPS) + 4.0,
    plates=tuple(
        Plate(f"step {k}", (4.0 + _STEP_MM * k, 4.0 + _STEP_MM * (k + 1)), (-2.0, 20.0)) for k in range(len(_STEPS))
    ),
)


@dataclass(frozen=True)
class Frame:
    number: int
    encoder_start: int
    encoder_stop: int
    counts: npt.NDArray[np.uint16]
    thresholds_ev: tuple[int, int] = (20_000, 40_000)
    t_ns: int = 0


@dataclass(frozen=True)
class Event:
    kind: Literal["bag_entry", "bag_exit", "encoder"]
    encoder: int
    tag: str = ""


@dataclass
class ScriptedAxis:
    """One axis of the scripted scanner; the x axis moves its mask."""

    of: ScriptedScanner
    name: str

    def position(self) -> float:
        if self.name != "m1_x":
            return self.of.places[self.name]
        return 0.0 if self.of.blind_axis else self.of.x_um

    def move_to(self, target: float) -> None:
        if self.name != "m1_x":
            self.of.places[self.name] = target
            return
        self.of.x_um = target
        self.of.moves += 1

    def limits(self) -> tuple[float, float]:
        return (-20.0, 20.0) if "rot" in self.name else (-500.0, 500.0)


@dataclass
class ScriptedScanner:
    """Detector, tube, mask and belt in one; attributes are what may be broken."""

    scanner: Scanner = SCANNER
    seed: int = 1
    tube: float = 1.0
    stuck_mask: bool = False
    blind_axis: bool = False
    silent_after: int | None = None
    loses_frames: bool = False
    belt_runs_on: bool = False
    belt_dead: bool = False
    tray_mm: float = TRAY.length_mm
    grain_um2: float = 0.0
    tube_drops_after_moves: int | None = None
    moves: int = 0
    dead_fraction: float = 0.0
    shift_um: float = 0.0
    tray_waits: bool = True
    second_tray: bool = False
    running: bool = False
    starts: int = 0
    travel: float = 1000.0
    number: int = 0
    x_um: float = 3.0
    rotation_mrad: float = 0.0
    lit: bool = False
    part: float = 1.0
    kv: float = 80.0
    pile_up: float = 0.0
    noise_counts: float = 0.0
    _events: list[Event] = field(default_factory=list)
    _entry: float | None = None
    _left: bool = False
    #: A tray lies so far up the belt, counts; the second one comes with the next start of the belt.
    _next_entry: float = 21_000.0

    def __post_init__(self) -> None:
        self.places = dict.fromkeys(AXES, 0.0)
        self._rng = np.random.default_rng(self.seed)
        self._gains = gains(scanner=self.scanner)
        self._dead = np.random.default_rng(9).random(self._gains.shape[1:]) < self.dead_fraction
        self._dead[2, 40] = True
        self._hot = np.zeros_like(self._dead)
        self._hot[5, 77] = True
        self._cache: dict[tuple[float, Sample], npt.NDArray[np.float64]] = {}
        # An event that an earlier program did not acknowledge comes again.
        self._events.append(Event("bag_entry", 500))
        self._groups = np.arange(COLUMNS) % GROUPS
        self._offsets = np.asarray(self.scanner.column_offsets_um())
        self._steps = [Sample(t, dark_field_um2=(self.grain_um2, self.grain_um2 / 4)) for t in _STEPS]

    def devices(self) -> Devices:
        axes = {name: ScriptedAxis(self, name) for name in AXES}
        return Devices(self, axes, self, self)

    # The tube.
    def on(self, part: float = 1.0) -> None:
        self.lit, self.part = True, part

    def off(self) -> None:
        self.lit = False

    def kilovolts(self) -> float:
        return self.kv if self.lit else 0.0

    # The belt.
    def start_belt(self) -> None:
        self.starts += 1
        if self._left and self.second_tray:
            self._entry, self._left, self.second_tray = None, False, False
            self._next_entry = self.travel + 20_000
        self.running = not self.belt_dead

    def stop_belt(self) -> None:
        self.running = self.belt_runs_on

    def poll(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # The detector.
    def receive(self, timeout_s: float) -> list[Frame]:
        if timeout_s == 0 or (self.silent_after is not None and self.number >= self.silent_after):
            return []
        frames = [self._frame() for _ in range(4)]
        # One frame goes missing while the tray passes.
        lost = self.loses_frames and self._entry is not None and self.travel > self._entry + 40_000
        self.loses_frames = self.loses_frames and not lost
        return frames[1:] if lost else frames

    def _frame(self) -> Frame:
        start = self.travel
        if self.running:
            self._advance()
        self.number += 1
        rates = self._rates((start + self.travel) / 2)
        drop = 1.0 if self.tube_drops_after_moves is None or self.moves < self.tube_drops_after_moves else 0.8
        output = self.tube * drop * self.part * (1 - self.pile_up * self.part) * self.lit
        drawn = self._rng.poisson(rates * self._gains * output + self.noise_counts)
        drawn[:, self._dead] = 0
        drawn[:, self._hot] = self._rng.poisson(400.0, (2, int(self._hot.sum())))
        return Frame(self.number, round(start), round(self.travel), drawn.astype(np.uint16))

    def _advance(self) -> None:
        """Move the belt by one frame; the tray passes the light barrier after 20 mm."""
        self.travel += self.scanner.step_um / self.scanner.encoder_um
        if self._entry is None and self.travel > self._next_entry and self.tray_waits:
            self._entry = self.travel
            self._events.append(Event("bag_entry", round(self._entry), "tray"))
        if self._entry is not None and not self._left and self.travel > self._entry + self.tray_mm * 1e3:
            self._left = True
            self._events.append(Event("bag_exit", round(self.travel)))

    def _rates(self, travel: float) -> npt.NDArray[np.float64]:
        """Expected counts of unit gain (2, rows, columns); a plate covers whole rows."""
        if self._entry is None:
            return self._seen(AIR)[..., self._groups]
        lead = self._entry + self.scanner.barrier_to_beam_mm * 1e3
        mm = (travel - self._offsets - lead) / 1e3
        step = np.floor((mm - 4.0) / _STEP_MM).astype(int)
        out = np.empty((2, self.scanner.rows, COLUMNS))
        for k in np.unique(step):
            here = step == k
            seen = self._seen(self._steps[k] if 0 <= k < len(self._steps) else AIR)
            out[..., here] = seen[..., self._groups[here]]
        return out

    def _seen(self, sample: Sample) -> npt.NDArray[np.float64]:
        x = (X0_UM if self.stuck_mask else self.x_um) + self.shift_um
        turned = self.rotation_mrad + self.places["m1_rot_z"]
        key = (x + 1e6 * round(turned, 6), sample)
        if key not in self._cache:
            rows = x + turned * np.asarray(self.scanner.row_heights_mm())
            self._cache[key] = np.moveaxis(counts(rows, sample, self.scanner), 0, -1)
        return self._cache[key]
