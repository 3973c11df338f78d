"""The belt controller where it is found by its USB ids instead of by a path."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from edge.doctor.devices import SECTION
from edge.doctor.finding import Finding
from firmware_bridge.serial_link import LinkError


class Ports(Protocol):
    """The part of :class:`firmware_bridge.hotplug.UsbPorts` that is asked."""

    def port(self) -> Path:
        """Where the device is; :class:`LinkError` when it is nowhere."""


def check(ports: Ports) -> tuple[Finding | None, str]:
    """A finding when the controller is not plugged in once; otherwise None and its port."""
    try:
        return None, str(ports.port())
    except LinkError as error:
        return Finding(SECTION, "belt", "red", str(error), "plug in the belt controller; lsusb shows what is there"), ""
