"""Emergency stop, restarts, silence and a failed encoder: what the belt controller and its driver make of them."""

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
from firmware_bridge.belt_packets import Decoder, Kind, Packet, encode
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


def run(device: BeltDevice, seconds: float, *, counts: int = 0, alive: bool = True) -> None:
    """Let ``device`` live for ``seconds`` in steps of 50 ms, the belt ``counts`` further in each."""
    start_s = device._now_us / 1e6
    for k in range(round(seconds * 20)):
        device.encoder = device._true + counts
        device.step(encode(Packet(Kind.HEARTBEAT, 0, 7)) if alive else b"", start_s + (k + 1) / 20)


def command(device: BeltDevice, kind: Kind, *values: int) -> tuple[bool, str]:
    """Send one command of lane 7; returns the reply."""
    command.seq += 1  # type: ignore[attr-defined]
    packet = Packet(kind, command.seq, 7, values)  # type: ignore[attr-defined]
    answer = Decoder().feed(device.step(encode(packet), device._now_us / 1e6))
    ((accepted, reason),) = [p.values for p in answer if p.kind == Kind.REPLY]
    return bool(accepted), str(reason)


command.seq = 0  # type: ignore[attr-defined]


def lit(device: BeltDevice) -> Light:
    return device.lights


def cleared(device: BeltDevice) -> bool:
    return device.clear_line


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


def test_lights_of_a_lane_that_died() -> None:
    device = BeltDevice(encoder_um=1.0)
    assert lit(device) == Light.RED, "nobody has asked for anything"
    assert command(device, Kind.SET_LIGHTS, Light.GREEN) == (True, "")
    assert lit(device) == Light.GREEN
    assert command(device, Kind.SET_LIGHTS, 9) == (False, "no such lamps: 0x8")
    run(device, wire.HEARTBEAT_TIMEOUT_S + 0.1, alive=False)
    assert lit(device) == Light.RED
    run(device, 0.1)
    assert lit(device) == Light.GREEN


def test_events_carry_the_time_at_which_they_happened() -> None:
    device = BeltDevice(encoder_um=1.0)
    run(device, 1.0)
    device.bag_entry(5, "a")
    late = [p for p in Decoder().feed(device.step(b"", 3.5)) if p.kind == Kind.BAG_ENTRY]
    assert [p.values for p in late] == [(1_000_000 - 50_000, 5, "a")], "not when it was sent; time 0 is the first step"
    before = device._now_us
    device.step(b"", 1.0)
    assert device._now_us == before, "the controller's time never goes back"


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


def test_reboot_with_open_door_and_latched_stop_says_so_first() -> None:
    device = BeltDevice(encoder_um=1.0)
    run(device, 0.1)
    device.set_interlock(False)
    device.set_estop(True)
    device.set_estop(False)
    boot = device.boot
    device.inject("reboot", 0)
    assert device.boot == boot, "0 heals, and there is nothing to heal"
    device.inject("reboot")
    sent = [p for p in Decoder().feed(device.step(b"", 9.0)) if p.kind != Kind.ENCODER]
    assert [(p.kind, p.seq, p.values[2:]) for p in sent] == [
        (Kind.INTERLOCK, 1, (False,)),
        (Kind.ESTOP, 2, (False, True)),
    ]
    assert all(p.boot != boot for p in sent)


def test_another_lane_inherits_no_window() -> None:
    device = BeltDevice(encoder_um=1.0)
    assert command(device, Kind.CLEAR_LINE, device.boot, 0, 100) == (True, "")
    assert cleared(device)
    device.step(encode(Packet(Kind.HELLO, 1, 8)), 0.0)
    assert not cleared(device)


def test_encoder_that_stands_ends_the_window() -> None:
    device = BeltDevice(encoder_um=1.0)
    assert command(device, Kind.START) == (True, "")
    assert command(device, Kind.CLEAR_LINE, device.boot, 0, 1000) == (True, "")
    run(device, 2.0, counts=10)
    assert cleared(device), "the belt moves"
    device.inject("encoder_slip")
    run(device, wire.STALL_S + 0.2, counts=10)
    assert not cleared(device)
    assert not device.machine.windows
    device.inject("encoder_slip", 0)
    run(device, 0.5, counts=10)
    assert not cleared(device), "what was dropped stays dropped"


def test_standing_belt_keeps_its_window() -> None:
    device = BeltDevice(encoder_um=1.0)
    command(device, Kind.CLEAR_LINE, device.boot, 0, 1000)
    run(device, 3.0)
    assert device.clear_line


@pytest.mark.parametrize(("slip", "reading"), [(0.0, 1000), (0.1, 900), (1.0, 0), (2.0, -1000)])
def test_slipping_encoder_loses_its_share(slip: float, reading: int) -> None:
    device = BeltDevice(encoder_um=1.0)
    device.inject("encoder_slip", slip)
    run(device, 5.0, counts=10)
    assert device.encoder == reading
    device.bag_exit(1000)
    (event,) = [p for p in Decoder().feed(device.step(b"", 9.0)) if p.kind == Kind.BAG_EXIT]
    assert event.values[1] == reading
    device.inject("encoder_slip", 0)
    run(device, 0.05, counts=10)
    assert device.encoder == reading + 10, "what was lost stays lost"


def test_unknown_fault_is_named() -> None:
    with pytest.raises(ValueError, match="no fault 'fire'; it has interlock, estop"):
        BeltDevice(1.0).inject("fire")


def test_copy_of_an_older_command_is_ignored() -> None:
    device = BeltDevice(encoder_um=1.0)
    start, stop = (encode(Packet(kind, seq, 7)) for kind, seq in ((Kind.START, 1), (Kind.STOP, 2)))
    device.step(start + stop + start, 0.0)
    assert not device.moving


def test_late_answer_to_the_program_before_is_no_answer(tmp_path: Path) -> None:
    with serving(tmp_path / "belt", BeltDevice(1.0)) as served:
        stale = b"".join(encode(Packet(Kind.REPLY, seq, 1, (False, "not yours"))) for seq in range(20))
        served.noise = lambda data: stale + data if data else b""
        with BeltController(served.port.link) as belt:
            assert belt.name == "Darklane emulated belt controller"
            belt.start_belt()


def test_tag_that_is_too_long_is_cut_at_a_character() -> None:
    device = BeltDevice(encoder_um=1.0)
    device.bag_entry(0, "x" + "é" * 200)
    (event,) = [p for p in Decoder().feed(device.step(b"", 0.0)) if p.kind == Kind.BAG_ENTRY]
    assert event.values[2] == "x" + "é" * 63


def test_controller_of_protocol_1_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.belt.ANSWER_S", 0.1)
    raw = struct.pack("<BBBBIIq???I", 1, 1, 0, Kind.ENCODER, 0, 9, 100, True, False, True, 1)
    raw += struct.pack(">H", binascii.crc_hqx(raw, 0xFFFF))
    with serving(tmp_path / "belt", BeltDevice(1.0)) as served:
        served.noise = lambda _: bytes(cobs.encode(raw)) + b"\0"
        with pytest.raises(BeltVersionError, match=r"speaks protocol 1 .* needs protocol 2: update .* 2\.0 or later"):
            BeltController(served.port.link)
