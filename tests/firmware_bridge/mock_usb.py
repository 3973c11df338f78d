"""A USB serial device that umockdev shows to other processes, with an emulated belt controller behind it.

As a program (under ``umockdev-wrapper``: its events need it) it plugs and unplugs on command; :class:`Plugs` runs it.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from firmware_bridge.emulator.belt_device import BeltDevice
from firmware_bridge.emulator.pty_port import PtyPort

LIBRARY = "libumockdev.so.0"
PRELOAD = "libumockdev-preload.so.0"
VENDOR, PRODUCT = "1209", "0d1a"


def library() -> ctypes.CDLL:
    """libumockdev with the types of what is used."""
    lib = ctypes.CDLL(LIBRARY)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    lib.umockdev_testbed_new.restype = pointer
    lib.umockdev_testbed_get_root_dir.restype = text
    lib.umockdev_testbed_get_root_dir.argtypes = [pointer]
    lib.umockdev_testbed_add_from_string.argtypes = [pointer, text, pointer]
    lib.umockdev_testbed_uevent.argtypes = [pointer, text, text]
    lib.umockdev_testbed_remove_device.argtypes = [pointer, text]
    ctypes.CDLL("libgobject-2.0.so.0").g_object_unref.argtypes = [pointer]
    return lib


class MockUsb:
    """The device tree of the processes that have its root in UMOCKDEV_DIR."""

    def __init__(self) -> None:
        self._lib = library()
        self._bed = self._lib.umockdev_testbed_new()
        self.root = Path(self._lib.umockdev_testbed_get_root_dir(self._bed).decode())

    def close(self) -> None:
        """Remove the tree."""
        ctypes.CDLL("libgobject-2.0.so.0").g_object_unref(ctypes.c_void_p(self._bed))

    def plug(self, node: str = "ttyACM0", serial: str = "BC-1", usb: str = "1-1") -> str:
        """Add a serial port; returns its path. What /dev/NODE is, the caller arranges."""
        parent = f"/devices/pci0000:00/0000:00:14.0/usb1/{usb}"
        tty = f"{parent}/{usb}:1.0/tty/{node}"
        ids = f"E: ID_VENDOR_ID={VENDOR}\nE: ID_MODEL_ID={PRODUCT}\nE: ID_SERIAL_SHORT={serial}\n"
        description = (
            f"P: {parent}\nE: SUBSYSTEM=usb\nE: DEVTYPE=usb_device\n"
            f"A: idVendor={VENDOR}\\n\nA: idProduct={PRODUCT}\\n\nA: serial={serial}\\n\n\n"
            f"P: {tty}\nE: SUBSYSTEM=tty\nE: DEVNAME=/dev/{node}\n{ids}\n"
        )
        if not self._lib.umockdev_testbed_add_from_string(self._bed, description.encode(), None):
            raise AssertionError(f"umockdev did not take {description}")
        return tty

    def unplug(self, tty: str) -> None:
        """Remove the port and its USB device."""
        parent = tty.rsplit("/", 3)[0]
        for path in (tty, parent):
            # remove_device says nothing by itself.
            self._lib.umockdev_testbed_uevent(self._bed, f"/sys{path}".encode(), b"remove")
            self._lib.umockdev_testbed_remove_device(self._bed, f"/sys{path}".encode())


class PluggedController:
    """An emulated belt controller that keeps its power while its USB cable goes in and out."""

    def __init__(self, usb: MockUsb) -> None:
        self.device = BeltDevice(encoder_um=1.0)
        self._usb = usb
        self._lock = threading.Lock()
        self._port: PtyPort | None = None
        self._path = ""
        self._ends = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Unplug, and switch off."""
        self._ends = True
        self._thread.join()
        if self._port is not None:
            self._port.close()

    def plug(self, node: str = "ttyACM0") -> None:
        """Put the cable in."""
        with self._lock:
            self._port = PtyPort(self._usb.root / "dev" / node)
        self._path = self._usb.plug(node)

    def unplug(self) -> None:
        """Pull the cable."""
        with self._lock:
            assert self._port is not None
            self._port.close()
            self._port = None
        self._usb.unplug(self._path)

    def bag(self, encoder: int, tag: str) -> None:
        """A bag passes the light barrier."""
        with self._lock:
            self.device.encoder = encoder
            self.device.bag_entry(encoder, tag)
            self.device.encoder = encoder + 500
            self.device.bag_exit(encoder + 500)

    def _serve(self) -> None:
        while not self._ends:
            with self._lock:
                port = self._port
                if port is not None:
                    port.write(self.device.step(port.read(), time.monotonic()))
                    fd = port.fd
            if port is None:
                time.sleep(0.01)
            else:
                select.select([fd], [], [], 0.01)


class Plugs:
    """Runs the program; ``environment`` is for processes that shall see its devices."""

    def __init__(self) -> None:
        wrapper = shutil.which("umockdev-wrapper")
        assert wrapper is not None, "umockdev is not installed; run: apt-get install umockdev"
        self._process = subprocess.Popen(
            [wrapper, sys.executable, "-m", "tests.firmware_bridge.mock_usb"],
            cwd=Path(__file__).parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.environment = {**os.environ, "UMOCKDEV_DIR": self._answer(), "LD_PRELOAD": PRELOAD}

    def do(self, *words: object) -> None:
        """Have one command carried out: plug NODE, unplug, bag ENCODER TAG."""
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def close(self) -> None:
        """End the program."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        assert self._process.wait(20) == 0
        self._process.stdout.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def main() -> None:
    """Commands from standard input until it ends."""
    usb = MockUsb()
    controller = PluggedController(usb)
    print(usb.root, flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "plug":
            controller.plug(words[0])
        elif command == "unplug":
            controller.unplug()
        else:
            controller.bag(int(words[0]), words[1])
        print("done", flush=True)
    controller.close()
    usb.close()


if __name__ == "__main__":
    main()
