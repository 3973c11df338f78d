"""Emergency stop, lamps, restarts and silence, seen through the driver."""

import binascii
import select
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cobs import cobs

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt import (
    BeltController,
    BeltEvent,
    BeltRefused,
    BeltSilentError,
    BeltVersionError,
    Light,
)
from firmware_bridge.belt_packets import Kind, Packet, encode
from firmware_bridge.emulator.belt_device import BeltDevice
from tests.firmware_bridge.belt_line import Line, numbered, serving, until


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with serving(tmp_path / "belt", BeltDevice(encoder_um=1.0)) as served:
        yield served


def report(belt: BeltController, wanted: Callable[[BeltEvent], bool]) -> BeltEvent:
    """The next encoder report that is as ``wanted``."""
    found: list[BeltEvent] = []

    def look() -> bool:
        found.extend(e for e in belt.poll() if e.kind == "encoder" and wanted(e))
        return bool(found)

    assert until(look)
    return found[0]


def test_emergency_stop_holds_until_it_is_reset(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt.start_belt()
        belt.clear_line(0, 1000)
        assert until(lambda: line.device.clear_line)
        with line.lock:
            line.device.inject("estop")
            assert not line.device.moving
            assert not line.device.clear_line
            assert not line.device.beam_permitted
        for refused in (belt.start_belt, lambda: belt.clear_line(0, 1000)):
            with pytest.raises(BeltRefused, match="emergency stop"):
                refused()
        with pytest.raises(BeltRefused, match="still pressed"):
            belt.reset_estop()
        with line.lock:
            line.device.inject("estop", 0)
        with pytest.raises(BeltRefused, match="emergency stop"):
            belt.start_belt()
        belt.reset_estop()
        stops = numbered(belt, 3)
        assert [(e.kind, e.pressed, e.latched) for e in stops] == [
            ("estop", True, True),
            ("estop", False, True),
            ("estop", False, False),
        ]
        state = report(belt, lambda e: e.latched is False)
        assert (state.moving, state.clear_line, state.pressed) == (False, False, False)
        belt.start_belt()
        assert line.device.moving


def test_lane_that_comes_late_hears_of_doors_and_stop(line: Line) -> None:
    with line.lock:
        line.device.set_interlock(False)
        line.device.set_estop(True)
    with BeltController(line.port.link) as belt:
        state = report(belt, lambda e: True)
        assert (state.closed, state.pressed, state.latched) == (False, True, True)


def test_lights_are_what_the_lane_asks_for_while_all_is_well(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt.set_lights(red=False, amber=True, green=True)
        assert report(belt, lambda e: bool(e.lights)).lights == Light.AMBER | Light.GREEN
        with line.lock:
            line.device.set_interlock(False)
        assert report(belt, lambda e: e.closed is False).lights == Light.AMBER | Light.RED
        belt.set_lights(red=False, amber=False, green=True)
        with line.lock:
            line.device.set_interlock(True)
        assert until(lambda: line.device.lights == Light.GREEN)


def test_driver_hands_the_controllers_time_on(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        first = report(belt, lambda e: True)
        with line.lock:
            line.device.bag_exit(1)
        (event,) = numbered(belt, 1)
        later = report(belt, lambda e: e.device_t_us > event.device_t_us)
        assert 0 <= first.device_t_us <= event.device_t_us < later.device_t_us


def test_mute_controller_is_noticed(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    with BeltController(line.port.link) as belt:
        report(belt, lambda e: True)
        assert belt.silent_s < wire.SILENCE_S
        monkeypatch.setattr(wire, "SILENCE_S", 0.3)
        with line.lock:
            line.device.inject("mute")

        def listen() -> bool:
            belt.poll()
            return False

        with pytest.raises(BeltSilentError, match=r"belt controller at .*belt has said nothing for \d+\.\d s"):
            until(listen)


def test_long_pause_of_the_reader_is_no_silence_of_the_controller(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt._heard_s -= 60.0
        assert belt.silent_s > 60.0
        select.select([belt.fileno()], [], [], 10.0)
        assert belt.poll(), "what came meanwhile lies in the port"
        assert belt.silent_s < 60.0


def test_restart_is_seen_and_old_windows_are_refused(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        report(belt, lambda e: True)
        belt.start_belt()
        with line.lock:
            line.device.encoder = 5000
            line.device.inject("reboot")
            assert line.device.encoder == 0
        with pytest.raises(BeltRefused, match="before a restart"):
            belt.clear_line(6000, 7000)
        assert not line.device.moving
        state = report(belt, lambda e: True)
        assert state.encoder == 0
        belt.clear_line(100, 200)


def test_late_answer_to_the_program_before_is_no_answer(tmp_path: Path) -> None:
    with serving(tmp_path / "belt", BeltDevice(1.0)) as served:
        stale = b"".join(encode(Packet(Kind.REPLY, seq, 1, (False, "not yours"))) for seq in range(20))
        served.noise = lambda data: stale + data if data else b""
        with BeltController(served.port.link) as belt:
            assert belt.name == "Darklane emulated belt controller"
            belt.start_belt()


def test_controller_of_protocol_1_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.belt.ANSWER_S", 0.1)
    raw = struct.pack("<BBBBIIq???I", 1, 1, 0, Kind.ENCODER, 0, 9, 100, True, False, True, 1)
    raw += struct.pack(">H", binascii.crc_hqx(raw, 0xFFFF))
    with serving(tmp_path / "belt", BeltDevice(1.0)) as served:
        served.noise = lambda _: bytes(cobs.encode(raw)) + b"\0"
        with pytest.raises(BeltVersionError, match=r"speaks protocol 1 .* needs protocol 2: update .* 2\.0 or later"):
            BeltController(served.port.link)
