"""USB devices by vendor, product and serial number: with udev as umockdev plays it, and with a udev that fails."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firmware_bridge import hotplug
from firmware_bridge.hotplug import Plugged, UsbId, UsbPorts
from firmware_bridge.serial_link import LinkError
from tests.firmware_bridge.mock_usb import PRODUCT, VENDOR, Plugs

#: Prints what it is told of three kinds of devices; ends when its input does. One process, because umockdev knows the
#: listeners by their descriptors.
WATCHER = """
import select, sys
from firmware_bridge.hotplug import UsbId, UsbPorts
kinds = {serial: UsbPorts(UsbId(sys.argv[1], sys.argv[2], serial)) for serial in ("", "BC-1", "BC-2")}
def say(serial):
    for change in kinds[serial].changes():
        print(serial or "any", change.node, change.present, flush=True)
for serial in kinds:
    say(serial)
print("ready", flush=True)
while True:
    ready, _, _ = select.select([*kinds.values(), sys.stdin], [], [])
    if sys.stdin in ready: break
    for serial in kinds:
        say(serial)
"""


class Watcher:
    def __init__(self, plugs: Plugs) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WATCHER, VENDOR, PRODUCT], env=plugs.environment, cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def said(self, lines: int) -> set[str]:
        assert self.process.stdout is not None
        return {self.process.stdout.readline().strip() for _ in range(lines)}

    def close(self) -> None:
        out, _ = self.process.communicate(timeout=30)
        assert out == ""


@pytest.fixture
def plugs() -> Iterator[Plugs]:
    made = Plugs()
    yield made
    made.close()


def test_devices_come_and_go_by_their_ids(plugs: Plugs) -> None:
    plugs.do("plug", "ttyACM0")
    watcher = Watcher(plugs)
    assert watcher.said(3) == {"any /dev/ttyACM0 True", "BC-1 /dev/ttyACM0 True", "ready"}
    plugs.do("unplug")
    assert watcher.said(2) == {"any /dev/ttyACM0 False", "BC-1 /dev/ttyACM0 False"}
    plugs.do("plug", "ttyACM1")
    assert watcher.said(2) == {"any /dev/ttyACM1 True", "BC-1 /dev/ttyACM1 True"}
    watcher.close()


class FakeDevice:
    def __init__(self, path: str, node: str | None, action: str = "add", **properties: str) -> None:
        self.device_path, self.device_node, self.action, self.properties = path, node, action, properties

    def find_parent(self, *_: str) -> None:
        return None


def board(path: str, node: str | None, action: str = "add", serial: str = "s1") -> FakeDevice:
    return FakeDevice(path, node, action, ID_VENDOR_ID="1209", ID_MODEL_ID="0D1A", ID_SERIAL_SHORT=serial)


class FakeUdev:
    """Takes the place of pyudev: what is there, and what the monitor says or how it fails."""

    def __init__(self) -> None:
        self.there: list[FakeDevice] = []
        self.said: list[FakeDevice | Exception] = []
        self.started = 0
        self.Context = lambda: self
        self.Monitor = self

    def from_netlink(self, _: Any) -> FakeUdev:
        return self

    def filter_by(self, subsystem: str) -> None:
        assert subsystem == "tty"

    def start(self) -> None:
        self.started += 1

    def list_devices(self, subsystem: str) -> list[FakeDevice]:
        # Looking before listening would miss what comes in between.
        assert self.started
        return self.there

    def fileno(self) -> int:
        return 0

    def poll(self, timeout: float) -> FakeDevice | None:
        assert timeout == 0
        said = self.said.pop(0) if self.said else None
        if isinstance(said, Exception):
            raise said
        return said


@pytest.fixture
def udev(monkeypatch: pytest.MonkeyPatch) -> FakeUdev:
    fake = FakeUdev()
    monkeypatch.setattr(hotplug, "pyudev", fake)
    return fake


@pytest.fixture
def ports(udev: FakeUdev) -> UsbPorts:
    return UsbPorts(UsbId("1209", "0d1a"))


def test_a_removal_without_ids_is_known_by_its_path(udev: FakeUdev, ports: UsbPorts) -> None:
    udev.said = [board("/d/1", "/dev/ttyACM0"), FakeDevice("/d/1", None, "remove"), FakeDevice("/d/2", None, "remove")]
    assert [change.present for change in ports.changes()] == [True, False]


def test_a_monitor_that_failed_is_started_again_and_everything_looked_at(udev: FakeUdev, ports: UsbPorts) -> None:
    udev.said = [board("/d/1", "/dev/ttyACM0"), board("/d/2", "/dev/ttyACM1", serial="s2")]
    ports.changes()
    udev.there = [board("/d/2", "/dev/ttyACM1"), board("/d/3", "/dev/ttyACM2")]
    udev.said = [OSError(105, "No buffer space available")]
    changes = ports.changes()
    assert changes == [
        Plugged("/d/1", Path("/dev/ttyACM0"), present=False),
        Plugged("/d/3", Path("/dev/ttyACM2"), present=True),
    ]
    assert (ports.errors, udev.started) == (1, 2)


def test_coldplug_says_add_again_and_nothing_happens(udev: FakeUdev, ports: UsbPorts) -> None:
    udev.said = [board("/d/1", "/dev/ttyACM0"), board("/d/1", "/dev/ttyACM0"), board("/d/1", "/dev/ttyACM0", "change")]
    assert len(ports.changes()) == 1
    udev.said = [board("/d/1", "/dev/ttyACM5")]
    assert [change.present for change in ports.changes()] == [False, True]


def test_no_device_and_two_devices_are_refused_with_what_to_do(udev: FakeUdev, ports: UsbPorts) -> None:
    with pytest.raises(LinkError, match=r"1209:0d1a: no such device.*\[belt\] usb"):
        ports.port()
    udev.said = [board("/d/1", "/dev/ttyACM0"), FakeDevice("/d/9", "/dev/ttyS0")]
    ports.changes()
    assert ports.port() == Path("/dev/ttyACM0")
    udev.said = [board("/d/2", "/dev/ttyACM1")]
    ports.changes()
    with pytest.raises(LinkError, match=r"2 devices match.*serial number"):
        ports.port()
