"""The emulated scanner put together: the detector and all other devices around one belt."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final

from firmware_bridge.emulator import devices, forward, render, scenes
from firmware_bridge.emulator.alignment import Alignment
from firmware_bridge.emulator.clock import FrameClock
from firmware_bridge.emulator.detector_device import DetectorDevice, Exposure, Target
from firmware_bridge.emulator.devices import Devices
from firmware_bridge.emulator.fault_player import FaultPlayer
from firmware_bridge.emulator.fault_script import Script
from firmware_bridge.emulator.faults import StreamFaults
from firmware_bridge.emulator.lane_file import LaneFile
from firmware_bridge.emulator.plan import Plan, PlanItem
from firmware_bridge.emulator.render import FrameRenderer, PreparedScene
from firmware_bridge.emulator.scene_supply import SAME_MASK_UM, SceneSupply
from firmware_bridge.emulator.world import World

_LOG = logging.getLogger(__name__)
#: Beside the truth: one line whenever a fault begins or ends.
FAULTS_FILE: Final = "faults.jsonl"
#: Name of the detector's packet stream in fault scripts.
STREAM: Final = "detector"
#: Items of calibration: with them nothing drifts, however often one is sent.
CALIBRATION_ITEMS: Final = ("tray", "wedges", "samples", "phantom")
#: The mask counts as moved beyond this, µm.
MASK_STEP_UM: Final = 0.001
#: Scenes are prepared for a mask that has rested this long, s: not for every step of a scan.
MASK_REST_S: Final = 0.5
#: A plan that has passed is over after so long, s, even if the lane does not come back for the last events.
UNHEARD_S: Final = 30.0


def catalogue() -> dict[str, tuple[str, ...]]:
    """Every emulated device and the faults that it can have."""
    return {**devices.catalogue(), STREAM: StreamFaults.FAULTS}


class Rig:
    """All devices of one lane, driven by one frame clock. Context manager; call :meth:`frame` forever."""

    def __init__(
        self,
        lane: LaneFile,
        plan: Plan,
        dev_dir: Path,
        truth: Path,
        config: Path | None,
        scripts: Sequence[Script] = (),
    ) -> None:
        scanner, settings = lane.scanner, lane.emulator
        self._lane = lane
        self.devices = Devices(lane, dev_dir)
        self._truth = truth.open("w", encoding="utf-8")
        self.stream_faults = StreamFaults()
        self._player = FaultPlayer(scripts, self._inject, truth.with_name(FAULTS_FILE))
        self.world = World(scanner, settings)
        self._bags = 0
        self._masks = self._alignment()
        self._mask_moved_s = float("-inf")
        self._renderer = FrameRenderer(scanner, settings, self._masks)
        rate = scanner.frame_rate_hz * settings.time_scale
        self._period_ns = round(1e9 / scanner.frame_rate_hz)
        self._settings = self.devices.detector.settings
        self._detector = DetectorDevice(
            self._settings.host, self._settings.port, scanner.rows, rate, seed=settings.seed
        )
        #: Masks that the scenes on the belt were computed for, and what they were computed from.
        self._drawn_for: Alignment | None = None
        self._canvases: dict[PlanItem, tuple[forward.Canvas, scenes.Scene]] = {}
        self._scenes = SceneSupply(plan.items, scanner, config)
        self.clock = FrameClock(1.0 / rate, time.monotonic())
        #: When the last item was seen to have passed.
        self._passed_s = float("inf")
        self._wall_offset_s = time.time() - time.monotonic()
        self.frames = 0
        for broken in settings.broken:
            device, fault, *value = broken.split()
            self._inject(device, fault, float(value[0]) if value else 1.0)

    def __enter__(self) -> Rig:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scenes.close()
        self._detector.close()
        self.devices.close()
        self._truth.close()
        if self.clock.slips:
            _LOG.warning("frame clock fell behind %d times, %.1f s in all", self.clock.slips, self.clock.slipped_s)

    @property
    def ended(self) -> bool:
        """True when every item of the plan has passed, what was broken for a time is healed, and the lane knows.

        A controller does not vanish with events that a lane, which may just be starting again, has not heard.
        """
        if not self._scenes.exhausted or not self.world.run_out or self._player.active:
            return False
        self._passed_s = min(self._passed_s, time.monotonic())
        return not self.devices.belt.unheard or time.monotonic() - self._passed_s > UNHEARD_S

    def frame(self) -> None:
        """One exposure: serve the devices until it is over, then render and send it."""
        self._serve_until(self.clock.due_s)
        belt = self.devices.belt
        start_um, stop_um = self.world.advance(belt.moving)
        before = belt.encoder
        self._report_belt(stop_um)
        self._player.step(stop_um, time.monotonic(), time.time_ns())
        self._supply()
        if self._streams(start_um, stop_um):
            self._expose(start_um, stop_um, (before, belt.encoder))
        self.frames += 1
        slips = self.clock.slips
        self.clock.next(time.monotonic())
        if self.clock.slips > slips == 0:
            _LOG.warning("frame clock is behind: this machine renders slower than real time; the belt slows with it")

    def _serve_until(self, deadline_s: float) -> None:
        while True:
            now = time.monotonic()
            self.devices.serve(now)
            if now >= deadline_s:
                return
            self.devices.wait(max(0.0, deadline_s - now))

    def _report_belt(self, travel_um: float) -> None:
        belt = self.devices.belt
        belt.encoder = self.world.encoder(travel_um)
        for kind, placed in self.world.crossings():
            if kind == "exit":
                belt.bag_exit(placed.exit_encoder)
                continue
            belt.bag_entry(placed.entry_encoder, placed.item.tag)
            self._truth.write(json.dumps(placed.truth()) + "\n")
            self._truth.flush()

    def _supply(self) -> None:
        now = time.monotonic()
        masks = self._alignment()
        if masks.distance_um(self._masks, self._lane.scanner) > MASK_STEP_UM:
            self._masks, self._mask_moved_s = masks, now
            self._renderer.set_mask(masks)
        if self.devices.at_rest and not self.devices.belt.moving:
            self._redraw(masks)
        rested = self.devices.at_rest and now - self._mask_moved_s > MASK_REST_S
        if not rested or not self.world.room:
            return
        prepared = self._scenes.ready(masks)
        if prepared is not None and self.devices.belt.moving and not self._player.holds(now):
            placed = self.world.place(*prepared)
            if placed.item.kind != "tray":
                self._player.placed(placed.lead_um, now)
            self._bags += placed.item.kind not in CALIBRATION_ITEMS
            self._drawn_for = masks
            self._scenes.take(self._alignment())

    def _redraw(self, masks: Alignment) -> None:
        """The mask is stepped over something at rest: what lies in view is computed for the masks as they stand now.

        While that lasts, no frame is sent; under a moving belt scenes stay as they were put on it.
        """
        scanner, settings = self._lane.scanner, self._lane.emulator
        if self._drawn_for is None or masks.distance_um(self._drawn_for, scanner) <= SAME_MASK_UM:
            return

        def make(item: PlanItem) -> PreparedScene:
            if item not in self._canvases:
                self._canvases = {item: render.draw(scanner, settings, item)}
            canvas, scene = self._canvases[item]
            return render.computed(canvas, scene, settings, masks)

        self.world.redraw(make)
        self._drawn_for = masks

    def _alignment(self) -> Alignment:
        settings = self._lane.emulator
        stand = Alignment.of(self._lane.scanner, settings, self.devices.positions())
        return stand._replace(x0_um=stand.x0_um + settings.mask_drift_um_per_bag * self._bags)

    def _streams(self, start_um: float, stop_um: float) -> bool:
        """Whether this exposure is sent; takes up what the lane has set the detector to."""
        control = self.devices.detector
        if control.settings is not self._settings:
            self._settings = control.settings
            self._detector.aim(Target(self._settings.host, self._settings.port, self._settings.packet_bytes))
        return control.streaming and not (self.stream_faults.silent or self.world.silent(start_um, stop_um))

    def _inject(self, device: str, fault: str, value: float) -> None:
        _LOG.info("fault: %s %s %s", device, fault, "healed" if value == 0 else f"{value:g}")
        if device == STREAM:
            self.stream_faults.inject(fault, value)
        else:
            self.devices.inject(device, fault, value)

    def _expose(self, start_um: float, stop_um: float, encoder: tuple[int, int]) -> None:
        scanner, settings = self._lane.scanner, self._lane.emulator
        exposed = min(1.0, self._settings.exposure_ns / self._period_ns)
        minutes = self.frames / scanner.frame_rate_hz / 60.0
        output = 1.0 + settings.tube_drift_per_min * minutes + settings.tube_drift_per_bag * self._bags
        counts = self._detector.buffer()
        self._renderer.frame(
            start_um,
            stop_um,
            self.world.segments(),
            scale=max(0.0, output) * exposed * self.devices.beam(time.monotonic()),
            out=counts,
        )
        exposure = Exposure(
            number=self.frames,
            t_ns=round((self.clock.start_s + self._wall_offset_s) * 1e9) + self.stream_faults.clock_offset_ns,
            exposure_ns=self._settings.exposure_ns,
            encoder_start=encoder[0],
            encoder_stop=encoder[1],
            thresholds_ev=(self._settings.thresholds_ev[0], self._settings.thresholds_ev[1]),
        )
        self.devices.detector.frames_sent += 1
        self._detector.send(exposure, counts, self.stream_faults.losses or self.world.faults(start_um, stop_um))
