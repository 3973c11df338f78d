"""USB serial devices that come and go, found by vendor, product and serial number with pyudev."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pyudev

from firmware_bridge.serial_link import LinkError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class UsbId:
    """Which device: hexadecimal ids as ``lsusb`` prints them; an empty ``serial`` is any."""

    vendor: str
    product: str
    serial: str = ""

    def __str__(self) -> str:
        return f"USB {self.vendor}:{self.product}" + (f" serial {self.serial}" if self.serial else "")


@dataclass(frozen=True)
class Plugged:
    """One change: ``node`` appeared or vanished. ``path``: where it is in the device tree, its only true name."""

    path: str
    node: Path
    present: bool


class UsbPorts:
    """Serial ports of one kind of USB device. Wait on :meth:`fileno`, then call :meth:`changes`.

    Ports are known by their device path: what udev says when a device goes may lack every id. The list is made after
    the monitor listens, so nothing falls between the two, and made again whenever the monitor failed.
    """

    def __init__(self, usb: UsbId) -> None:
        self.usb = usb
        self.errors = 0
        self._context = pyudev.Context()
        self._ports: dict[str, Path] = {}
        self._waiting: list[Plugged] = []
        self._listen()

    def fileno(self) -> int:
        """Readable when something was plugged or unplugged; may change with every call of :meth:`changes`."""
        return int(self._monitor.fileno())

    def port(self) -> Path:
        """Where the device is now. :class:`LinkError` when it is nowhere, or in more than one place."""
        nodes = sorted(set(self._ports.values()))
        if not nodes:
            raise LinkError(f"{self.usb}: no such device is plugged in; check cable and power, and [belt] usb")
        if len(nodes) > 1:
            where = ", ".join(map(str, nodes))
            raise LinkError(f"{self.usb}: {len(nodes)} devices match ({where}); give the serial number in [belt] usb")
        return nodes[0]

    def changes(self) -> list[Plugged]:
        """What happened since the last call, in order; never waits."""
        out, self._waiting = self._waiting, []
        while True:
            try:
                device = self._monitor.poll(timeout=0)
            except OSError as error:
                # The kernel dropped messages: what they said is found by looking.
                self.errors += 1
                _LOG.warning("udev monitor failed (%s); looking at every device again", error)
                self._listen()
                out += self._waiting
                self._waiting = []
                continue
            if device is None:
                return out
            out += self._take(device)

    def _listen(self) -> None:
        self._monitor = pyudev.Monitor.from_netlink(self._context)
        self._monitor.filter_by(subsystem="tty")
        self._monitor.start()
        there = {}
        for device in self._context.list_devices(subsystem="tty"):
            if device.device_node and self._matches(device):
                there[device.device_path] = Path(device.device_node)
        gone = {path: node for path, node in self._ports.items() if there.get(path) != node}
        came = {path: node for path, node in there.items() if self._ports.get(path) != node}
        self._waiting += [Plugged(path, node, present=False) for path, node in gone.items()]
        self._waiting += [Plugged(path, node, present=True) for path, node in came.items()]
        self._ports = there

    def _take(self, device: pyudev.Device) -> list[Plugged]:
        path = str(device.device_path)
        known = self._ports.get(path)
        if device.action == "remove":
            self._ports.pop(path, None)
            return [] if known is None else [Plugged(path, known, present=False)]
        if not device.device_node or not self._matches(device):
            return []
        node = Path(device.device_node)
        self._ports[path] = node
        if known == node:
            # A trigger at boot says "add" of what is there already.
            return []
        away = [] if known is None else [Plugged(path, known, present=False)]
        return [*away, Plugged(path, node, present=True)]

    def _matches(self, device: pyudev.Device) -> bool:
        vendor, product, serial = _ids(device)
        return (vendor, product) == (self.usb.vendor, self.usb.product) and self.usb.serial in ("", serial)


def _ids(device: pyudev.Device) -> tuple[str, str, str]:
    """Vendor, product and serial number: from udev's database, or from the USB device itself before it is there."""
    properties = device.properties
    vendor, product = properties.get("ID_VENDOR_ID", ""), properties.get("ID_MODEL_ID", "")
    if vendor and product:
        return vendor.lower(), product.lower(), properties.get("ID_SERIAL_SHORT", "")
    parent = device.find_parent("usb", "usb_device")
    if parent is None:
        return "", "", ""
    text = [parent.attributes.get(name, b"").decode("utf-8", "replace") for name in ("idVendor", "idProduct", "serial")]
    return text[0].lower(), text[1].lower(), text[2]
