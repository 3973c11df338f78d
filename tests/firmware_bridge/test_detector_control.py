"""Detector control driver against the emulated command port on a TCP socket."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from firmware_bridge.detector_control import DetectorControl, DetectorRefused, DetectorSettings
from firmware_bridge.emulator.detector_control_device import DetectorControlDevice

SETTINGS = DetectorSettings((20_000, 40_000), 8_403_361, 4, "127.0.0.1", 7148)


class Port:
    """A command port on loopback that hands what it hears to ``answer``, one connection at a time."""

    def __init__(self, answer: Callable[[bytes], bytes], connected: Callable[[], None] = lambda: None) -> None:
        self._answer, self._connected = answer, connected
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                self._connected()
                while data := connection.recv(4096):
                    if data == b"quit":
                        return
                    connection.sendall(self._answer(data))

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            connection.sendall(b"quit")
        self._thread.join()
        self._server.close()


@pytest.fixture
def device() -> DetectorControlDevice:
    return DetectorControlDevice(SETTINGS)


@pytest.fixture
def port(device: DetectorControlDevice) -> Iterator[int]:
    served = Port(lambda data: device.step(data, 0.0), device.new_connection)
    yield served.port
    served.close()


def test_configure_reads_back_what_it_set(port: int, device: DetectorControlDevice) -> None:
    wanted = replace(SETTINGS, thresholds_ev=(20_000, 50_000), packet_bytes=1472)
    with DetectorControl("127.0.0.1", port) as control:
        assert control.status().streaming
        with pytest.raises(DetectorRefused, match="streaming; stop it first"):
            control.configure(wanted)
        control.stop()
        control.configure(wanted)
        control.start()
        status = control.status()
    assert status.streaming
    assert status.settings == device.settings == wanted
    assert (status.fault, status.firmware) == ("", "1.0.0")
