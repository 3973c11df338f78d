"""Where the belt controller is plugged in: a fixed port, or wherever udev says that it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edge.config import Config
from edge.loop import Loop
from firmware_bridge.hotplug import UsbId, UsbPorts


class Plugs:
    """Tells ``hint`` what udev says about the controller of ``[belt] usb``; without that key it has nothing to say."""

    def __init__(self, config: Config, loop: Loop, hint: Callable[[str | None], None]) -> None:
        self._loop = loop
        self._hint = hint
        self._path = config.device_path(config.belt.port)
        usb = config.belt.usb
        self._ports = UsbPorts(UsbId(usb.vendor, usb.product, usb.serial)) if usb is not None else None
        self._fd = -1
        self._watch()

    def port(self) -> Path:
        """Where the controller is now; OSError when it is nowhere."""
        return self._path if self._ports is None else self._ports.port()

    def close(self) -> None:
        """Listen no more."""
        self._ports = None

    def _watch(self) -> None:
        if self._ports is None or self._fd == self._ports.fileno():
            return
        if self._fd >= 0:
            self._loop.off(self._fd)
        self._fd = self._ports.fileno()
        self._loop.on(self._fd, self._on_udev)

    def _on_udev(self) -> None:
        if self._ports is None:
            return
        for change in self._ports.changes():
            self._loop.log.info("%s %s", change.node, "plugged in" if change.present else "unplugged")
            self._hint(None if change.present else f"{change.node} was unplugged")
        self._watch()
