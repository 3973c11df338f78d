"""The belt controller's cable goes in and out twenty times under a running bridge: nothing is lost, nothing leaks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.bridge.client import CommandClient, EventReader
from edge.bus import Bus
from edge.config import Config, dump
from edge.messages import DeviceCommand, DeviceEvent, DeviceEventKind
from tests.firmware_bridge.mock_usb import PRODUCT, VENDOR, Plugs

pytestmark = pytest.mark.timeout(120)
ROUNDS = 20
#: Generous: a test that waits this long has found a hang.
PATIENCE_S = 30.0


class Bridge:
    """The bridge as a process that sees the mock devices, and its other ends."""

    def __init__(self, plugs: Plugs, state_dir: Path) -> None:
        self.config = Config.model_validate(
            {
                "lane": {"state_dir": str(state_dir)},
                "belt": {"usb": {"vendor": VENDOR, "product": PRODUCT, "serial": "BC-1"}},
                "motion": {"controllers": {}, "axes": {}},
                "detector_control": {"enabled": False},
            }
        )
        file = state_dir / "lane.toml"
        file.write_text(dump(self.config), encoding="utf-8")
        self.bus = Bus(self.config.run_dir, "test")
        self.reader = EventReader(self.bus)
        self.client = CommandClient(self.bus)
        self.events: list[DeviceEvent] = []
        self.log = state_dir / "bridge.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "edge.bridge.main", "--config", str(file)],
                env=plugs.environment, stderr=log, cwd=Path(__file__).parents[2],
            )  # fmt: skip

    def close(self) -> None:
        self.process.terminate()
        try:
            assert self.process.wait(PATIENCE_S) == 0
        finally:
            self.bus.close()

    def of_belt(self, kind: DeviceEventKind) -> list[DeviceEvent]:
        return [event for event in self.events if event.kind is kind and event.device == "belt"]

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.events += self.reader.read()
            assert time.monotonic() < deadline, self.log.read_text(encoding="utf-8")[-3000:]
            time.sleep(0.005)

    def open_files(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208

    def threads(self) -> int:
        return len(os.listdir(f"/proc/{self.process.pid}/task"))  # noqa: PTH208


@pytest.fixture
def plugs() -> Iterator[Plugs]:
    made = Plugs()
    yield made
    made.close()


@pytest.fixture
def bridge(plugs: Plugs) -> Iterator[Bridge]:
    folder = Path(tempfile.mkdtemp(prefix="dlr", dir="/tmp"))
    made = Bridge(plugs, folder)
    yield made
    made.close()
    shutil.rmtree(folder)


def test_twenty_replugs_lose_no_event_and_leak_nothing(plugs: Plugs, bridge: Bridge) -> None:
    found, lost = DeviceEventKind.DEVICE_FOUND, DeviceEventKind.DEVICE_LOST
    # Before it is plugged in, the bridge says that it is not there, and runs.
    bridge.until(lambda: len(bridge.of_belt(lost)) == 1)
    assert f"{VENDOR}:{PRODUCT}" in bridge.of_belt(lost)[0].detail
    plugs.do("plug", "ttyACM0")
    bridge.until(lambda: len(bridge.of_belt(found)) == 1)
    assert bridge.client.ask(DeviceCommand(action="belt_stop")).ok
    files, threads = bridge.open_files(), bridge.threads()
    for number in range(ROUNDS):
        encoder = 2000 * number
        plugs.do("bag", encoder, f"in-{number}")
        plugs.do("unplug")
        bridge.until(lambda n=number: len(bridge.of_belt(lost)) == n + 2)  # type: ignore[misc]
        plugs.do("bag", encoder + 1000, f"out-{number}")
        refused = bridge.client.ask(DeviceCommand(action="belt_start"))
        assert not refused.ok
        assert "not there" in refused.reason
        plugs.do("plug", f"ttyACM{number % 3}")
        bridge.until(lambda n=number: len(bridge.of_belt(found)) == n + 2)  # type: ignore[misc]
        answer = bridge.client.ask(DeviceCommand(action="belt_stop"))
        assert answer.ok, answer.reason
    # Every bag once, in order, also those that passed while nobody was there.
    entry, leave = DeviceEventKind.BAG_ENTRY, DeviceEventKind.BAG_EXIT
    bridge.until(lambda: len(bridge.of_belt(leave)) == 2 * ROUNDS)
    wanted = [f"{where}-{number}" for number in range(ROUNDS) for where in ("in", "out")]
    assert [event.bag_tag for event in bridge.of_belt(entry)] == wanted
    assert [event.bag_id for event in bridge.of_belt(leave)] == [event.bag_id for event in bridge.of_belt(entry)]
    assert [event.encoder for event in bridge.of_belt(entry)] == [1000 * n for n in range(2 * ROUNDS)]
    numbers = [event.seq for event in bridge.events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    # A device that is being looked for may hold a descriptor for a moment.
    bridge.until(lambda: bridge.open_files() == files and bridge.threads() == threads)
