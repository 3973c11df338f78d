"""The emulated belt controller on a pseudo-terminal, for tests of the driver."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_bridge.belt import BeltController, BeltEvent
from firmware_bridge.emulator.belt_device import BeltDevice
from firmware_bridge.emulator.pty_port import PtyPort


class Line:
    """The emulated controller on a pty, served by a thread; ``noise`` may damage what it sends."""

    def __init__(self, link: Path, device: BeltDevice) -> None:
        self.device = device
        self.port = PtyPort(link)
        self.noise: Callable[[bytes], bytes] = bytes
        self.lock = threading.Lock()
        self.late_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while not self._stop.wait(0.002):
            with self.lock:
                out = self.device.step(self.port.read(), time.monotonic() + self.late_s)
                self.port.write(self.noise(out))

    def close(self) -> None:
        if not self._stop.is_set():
            self._stop.set()
            self._thread.join()
            self.port.close()


@contextmanager
def serving(link: Path, device: BeltDevice) -> Iterator[Line]:
    """``device`` on a pseudo-terminal at ``link``."""
    line = Line(link, device)
    try:
        yield line
    finally:
        line.close()


def numbered(belt: BeltController, count: int) -> list[BeltEvent]:
    """Poll until ``count`` events other than encoder reports have come."""
    events: list[BeltEvent] = []
    deadline = time.monotonic() + 10
    while len(events) < count and time.monotonic() < deadline:
        events += [e for e in belt.poll() if e.kind != "encoder"]
        time.sleep(0.002)
    return events


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.002)
    return False
