"""The udev rules, evaluated by udev itself on imitated devices (umockdev)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from edge.config import load
from edge.doctor.devices import ports
from edge.install.layout import CONFIGURATION, TARGETS
from tests.systemd.conftest import tool

#: A USB serial device as umockdev describes it.
DEVICE = """P: /devices/usb1/1-1
E: SUBSYSTEM=usb
E: DEVTYPE=usb_device
A: idVendor=1234\\n
A: idProduct=5678\\n
A: product={product}\\n
A: serial={serial}\\n

P: /devices/usb1/1-1/1-1:1.0/tty/{node}
E: SUBSYSTEM=tty
E: DEVNAME=/dev/{node}
E: MAJOR=188
E: MINOR=0
"""
NAMES = {
    "belt": ("ttyACM0", "Darklane belt controller", "0001"),
    "tube": ("ttyUSB0", "USB serial", "DL-tube"),
    "esp-1": ("ttyUSB1", "USB serial", "DL-esp-1"),
    "esp-2": ("ttyUSB2", "USB serial", "DL-esp-2"),
    "aries": ("ttyUSB3", "USB serial", "DL-aries"),
}


def evaluate(root: Path, tmp_path: Path, node: str, product: str, serial: str) -> str:
    """What `udevadm test` says with nothing but our rules."""
    mocked, udevadm = tool("umockdev-run", "umockdev"), tool("udevadm", "udev")
    file = tmp_path / "device"
    file.write_text(DEVICE.format(node=node, product=product, serial=serial), encoding="utf-8")
    rules = root / TARGETS["udev/rules.d"]
    # Rules come from fixed folders, and udev makes its links: mounts that only this command sees keep all of it here.
    script = """
mount -t tmpfs tmpfs /run
mkdir -p /run/udev/rules.d
cp "$1"/*.rules /run/udev/rules.d/
for place in /etc/udev/rules.d /usr/lib/udev/rules.d; do
  [ ! -d "$place" ] || mount -t tmpfs tmpfs "$place"
done
mkdir /run/dev
for node in null zero urandom; do
  touch "/run/dev/$node"
  mount --bind "/dev/$node" "/run/dev/$node"
done
mount --rbind /run/dev /dev
exec "$2" -d "$3" -- "$4" test "/sys/devices/usb1/1-1/1-1:1.0/tty/$5"
"""
    done = subprocess.run(
        ["unshare", "--mount", "--map-root-user", "sh", "-ec", script, "sh", rules, mocked, file, udevadm, node],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "Invalid" not in done.stderr, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_devices_get_their_stable_names(root: Path, tmp_path: Path, name: str) -> None:
    said = evaluate(root, tmp_path, *NAMES[name])
    assert f"LINK 'darklane/{name}'" in said
    assert "MODE 0660" in said


def test_other_serial_devices_are_left_alone(root: Path, tmp_path: Path) -> None:
    assert "darklane/" not in evaluate(root, tmp_path, "ttyUSB7", "USB serial", "A1B2")


def test_the_installed_configuration_uses_these_names(root: Path) -> None:
    assert ports(load(root / CONFIGURATION)) == {name: f"/dev/darklane/{name}" for name in NAMES}
