"""X-ray generator driver against the emulated generator on a pseudo-terminal."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge.emulator.pty_port import PtyPort
from firmware_bridge.emulator.tube_device import TubeDevice
from firmware_bridge.tube import XRayTube


@pytest.fixture
def device() -> TubeDevice:
    return TubeDevice(warm_up_s=0.05, ramp_s=0.1)


@pytest.fixture
def path(tmp_path: Path, device: TubeDevice) -> Iterator[Path]:
    port = PtyPort(tmp_path / "tube")
    stop = threading.Event()

    def serve() -> None:
        while not stop.wait(0.001):
            port.write(device.step(port.read(), time.monotonic()))

    thread = threading.Thread(target=serve)
    thread.start()
    yield port.link
    stop.set()
    thread.join()
    port.close()


def wait_ready(tube: XRayTube) -> None:
    tube.warm_up()
    for _ in range(200):
        if tube.status().state == "ready":
            return
        time.sleep(0.01)
    raise AssertionError(f"not ready: {tube.status()}")


def test_warm_up_then_on_then_off(path: Path, device: TubeDevice) -> None:
    with XRayTube(path) as tube:
        status = tube.status()
        assert (status.state, status.interlock_closed, status.fault) == ("off", True, "")
        wait_ready(tube)
        tube.beam_on(80.0, 1.0)
        status = tube.status()
        assert status.state == "on"
        assert status.kv == pytest.approx(80.0, abs=0.1)
        assert status.ma == pytest.approx(1.0, abs=0.02)
        assert (status.kv_set, status.ma_set, status.deviation) == (80.0, 1.0, "")
        assert device.output(time.monotonic()) == 1.0
        tube.beam_off()
        assert tube.status().state == "ready"
    assert not device.beam
