"""The emulated scanner put together: detector, belt controller and mask axis around one belt."""

from __future__ import annotations

import json
import logging
import select
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from firmware_bridge.emulator.alignment import Alignment
from firmware_bridge.emulator.axis_device import mask_stage, sample_stage
from firmware_bridge.emulator.belt_device import BeltDevice
from firmware_bridge.emulator.clock import FrameClock
from firmware_bridge.emulator.detector_device import DetectorDevice, Exposure
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.emulator.lane_file import LaneFile
from firmware_bridge.emulator.plan import Plan
from firmware_bridge.emulator.pty_port import PtyPort
from firmware_bridge.emulator.render import FrameRenderer
from firmware_bridge.emulator.scene_supply import SceneSupply
from firmware_bridge.emulator.world import World

_LOG = logging.getLogger(__name__)
#: Thresholds T1 and T2 by tube voltage, eV (physics.md 2, an assumption there).
THRESHOLDS_EV: Final = {80: (20_000, 40_000), 120: (20_000, 50_000)}
#: The mask counts as moved beyond this, µm.
MASK_STEP_UM: Final = 0.001
#: Scenes are prepared for a mask that has rested this long, s: not for every step of a scan.
MASK_REST_S: Final = 0.5


class Rig:
    """All devices of one lane, driven by one frame clock. Context manager; call :meth:`frame` forever."""

    def __init__(self, lane: LaneFile, plan: Plan, dev_dir: Path, truth: Path, config: Path | None) -> None:
        scanner, settings = lane.scanner, lane.emulator
        self._lane = lane
        self._truth = truth.open("w", encoding="utf-8")
        self._axis_file = dev_dir / "esp-1.position"
        self.axis = mask_stage(_read_position(self._axis_file))
        self._esp = EspDevice({1: self.axis, 2: mask_stage(), 3: sample_stage()})
        self.belt = BeltDevice(scanner.encoder_um)
        self._belt_port = PtyPort(dev_dir / "belt")
        self._axis_port = PtyPort(dev_dir / "esp-1")
        self._poll = select.poll()
        for port in (self._belt_port, self._axis_port):
            self._poll.register(port.fd, select.POLLIN)
        self.world = World(scanner, settings)
        self._masks = self._alignment()
        self._mask_moved_s = float("-inf")
        self._renderer = FrameRenderer(scanner, settings, self._masks)
        rate = scanner.frame_rate_hz * settings.time_scale
        self._exposure_ns = round(1e9 / scanner.frame_rate_hz)
        self._detector = DetectorDevice(lane.host, lane.port, scanner.rows, rate, seed=settings.seed)
        self._scenes = SceneSupply(plan.items, scanner, config)
        self.clock = FrameClock(1.0 / rate, time.monotonic())
        self._wall_offset_s = time.time() - time.monotonic()
        self.frames = 0

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scenes.close()
        self._detector.close()
        self._belt_port.close()
        self._axis_port.close()
        self._truth.close()
        # A real axis keeps its place when its computer goes; so does this one.
        self._axis_file.write_text(f"{self.axis.position:.4f}\n", encoding="ascii")
        if self.clock.slips:
            _LOG.warning("frame clock fell behind %d times, %.1f s in all", self.clock.slips, self.clock.slipped_s)

    @property
    def ended(self) -> bool:
        """True when every item of the plan has passed."""
        return self._scenes.exhausted and self.world.run_out

    def frame(self) -> None:
        """One exposure: serve the devices until it is over, then render and send it."""
        self._serve_until(self.clock.due_s)
        start_um, stop_um = self.world.advance(self.belt.moving)
        self._report_belt(stop_um)
        self._supply()
        if not self.world.silent(start_um, stop_um):
            self._expose(start_um, stop_um)
        self.frames += 1
        slips = self.clock.slips
        self.clock.next(time.monotonic())
        if self.clock.slips > slips == 0:
            _LOG.warning("frame clock is behind: this machine renders slower than real time; the belt slows with it")

    def _serve_until(self, deadline_s: float) -> None:
        while True:
            now = time.monotonic()
            self._belt_port.write(self.belt.step(self._belt_port.read(), now))
            self._axis_port.write(self._esp.step(self._axis_port.read(), now))
            if now >= deadline_s:
                return
            self._poll.poll(max(0.0, (deadline_s - now) * 1e3))

    def _report_belt(self, travel_um: float) -> None:
        self.belt.encoder = self.world.encoder(travel_um)
        for kind, placed in self.world.crossings():
            if kind == "exit":
                self.belt.bag_exit(placed.exit_encoder)
                continue
            self.belt.bag_entry(placed.entry_encoder, placed.item.tag)
            self._truth.write(json.dumps(placed.truth()) + "\n")
            self._truth.flush()

    def _supply(self) -> None:
        now = time.monotonic()
        masks = self._alignment()
        if masks.distance_um(self._masks, self._lane.scanner) > MASK_STEP_UM:
            self._masks, self._mask_moved_s = masks, now
            self._renderer.set_mask(masks)
        rested = self.axis.at_rest and now - self._mask_moved_s > MASK_REST_S
        if not rested or not self.world.room:
            return
        prepared = self._scenes.ready(masks)
        if prepared is not None and self.belt.moving:
            self.world.place(*prepared)
            self._scenes.take(masks)

    def _alignment(self) -> Alignment:
        return Alignment.of(self._lane.scanner, self._lane.emulator, {"m1_x": self.axis.position})

    def _expose(self, start_um: float, stop_um: float) -> None:
        scanner, settings = self._lane.scanner, self._lane.emulator
        minutes = self.frames / scanner.frame_rate_hz / 60.0
        counts = self._detector.buffer()
        self._renderer.frame(
            start_um,
            stop_um,
            self.world.segments(),
            scale=max(0.0, 1.0 + settings.tube_drift_per_min * minutes),
            out=counts,
        )
        exposure = Exposure(
            number=self.frames,
            t_ns=round((self.clock.start_s + self._wall_offset_s) * 1e9),
            exposure_ns=self._exposure_ns,
            encoder_start=self.world.encoder(start_um),
            encoder_stop=self.world.encoder(stop_um),
            thresholds_ev=THRESHOLDS_EV[scanner.tube_kv],
        )
        self._detector.send(exposure, counts, self.world.faults(start_um, stop_um))


def _read_position(path: Path) -> float:
    try:
        return float(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0.0
