"""The devices of a lane, from its configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from edge.bridge.belt import BeltHandler
from edge.bridge.detector import DetectorHandler, Wanted
from edge.bridge.jobs import Handler
from edge.bridge.motion import AxesHandler
from edge.bridge.tube import TubeHandler
from edge.config import Config
from firmware_bridge.belt import BeltController
from firmware_bridge.detector_control import DetectorControl
from firmware_bridge.motion import open_axes
from firmware_bridge.tube import XRayTube


def handlers(config: Config, belt_port: Callable[[], Path]) -> list[Handler]:
    """One handler per connection. ``belt_port``: where the belt controller is now; OSError when nowhere."""
    scanner, control = config.scanner, config.detector_control
    made: list[Handler] = [
        BeltHandler(lambda: BeltController(belt_port())),
        TubeHandler(partial(XRayTube, config.device_path(config.tube.port)), scanner.tube_kv, scanner.tube_ma),
    ]
    if control.enabled:
        wanted = Wanted(
            exposure_ns=round(1e9 / scanner.frame_rate_hz),
            row_binning=scanner.row_binning,
            host=config.detector.host,
            port=config.detector.port,
        )
        made.append(DetectorHandler(partial(DetectorControl, control.host, control.port), wanted))
    for name, controller in config.motion.controllers.items():
        axes = {n: axis.model_dump() for n, axis in config.motion.axes.items() if axis.controller == name}
        if axes:
            table = controller.model_dump()
            if not controller.port.startswith("tcp://"):
                table["port"] = config.device_path(Path(controller.port))
            opener = partial(open_axes, {name: table}, axes)
            made.append(AxesHandler(name, {n: axis["unit"] for n, axis in axes.items()}, opener))
    return made
