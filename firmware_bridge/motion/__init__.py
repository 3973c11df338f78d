"""Drivers of the motion axes: Newport ESP and Kohzu ARIES controllers behind one :class:`Axis`."""

from firmware_bridge.motion.aries import AriesAxis, AriesController
from firmware_bridge.motion.axes import Axes, open_axes
from firmware_bridge.motion.axis import Axis, AxisError, AxisStatus, DrivenAxis
from firmware_bridge.motion.esp import EspAxis, EspController
from firmware_bridge.serial_link import LinkError

__all__ = [
    "AriesAxis",
    "AriesController",
    "Axes",
    "Axis",
    "AxisError",
    "AxisStatus",
    "DrivenAxis",
    "EspAxis",
    "EspController",
    "LinkError",
    "open_axes",
]
