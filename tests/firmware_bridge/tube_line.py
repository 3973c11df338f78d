"""The emulated generator on a pseudo-terminal, and a line that can be made to lie."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from firmware_bridge.emulator.pty_port import PtyPort
from firmware_bridge.emulator.tube_device import TubeDevice
from firmware_bridge.tube import TubeStatus, XRayTube

Change = Callable[[bytes], bytes]


class TubeLine:
    """Serves ``device`` in a thread; ``asked`` and ``answered`` change the bytes on their way. Context manager."""

    def __init__(self, link: Path, device: TubeDevice) -> None:
        self.device = device
        self.asked: Change = bytes
        self.answered: Change = bytes
        self.heard = b""
        self._port = PtyPort(link)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.path = self._port.link

    def _serve(self) -> None:
        while not self._stop.wait(0.0005):
            received = self.asked(self._port.read())
            self.heard += received
            with self._lock:
                answer = self.device.step(received, time.monotonic())
                answer = self.answered(answer) if answer else b""
            self._port.write(answer)

    def inject(self, fault: str, value: float = 1.0) -> None:
        """As the device's ``inject``, between two of its steps."""
        with self._lock:
            self.device.inject(fault, value)

    def __enter__(self) -> "TubeLine":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._port.close()


def wait_ready(tube: XRayTube) -> TubeStatus:
    """Warm the tube up."""
    tube.warm_up()
    deadline = time.monotonic() + 30.0
    while (status := tube.status()).state != "ready":
        assert time.monotonic() < deadline, status
        time.sleep(0.005)
    return status
