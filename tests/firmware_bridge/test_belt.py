"""Belt driver against the emulated controller on a pseudo-terminal: events, commands, restarts, silence."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt import BeltController, BeltError, BeltEvent, BeltRefused, BeltVersionError, LinkError
from firmware_bridge.belt_packets import Decoder, Kind, Packet, encode
from firmware_bridge.emulator.belt_device import MAX_EVENTS, BeltDevice
from firmware_bridge.emulator.pty_port import PtyPort
from tests.firmware_bridge.belt_line import Line, numbered, serving, until


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with serving(tmp_path / "belt", BeltDevice(encoder_um=1.0)) as served:
        yield served


def test_events_come_in_order_with_their_data(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        with line.lock:
            line.device.bag_entry(1234, "LH 0042 é")
            line.device.bag_exit(-7)
            line.device.set_interlock(False)
        entry, leave, door = numbered(belt, 3)
        assert (entry.kind, entry.encoder, entry.tag, entry.seq) == ("bag_entry", 1234, "LH 0042 é", 1)
        assert (leave.kind, leave.encoder, leave.seq) == ("bag_exit", -7, 2)
        assert (door.kind, door.closed, door.seq) == ("interlock", False, 3)
        assert belt.firmware == (2, 0)


def test_acknowledged_events_leave_the_controller(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        with line.lock:
            line.device.bag_entry(1, "a")
        numbered(belt, 1)
        assert until(lambda: not belt.poll() and not line.device._events)


def test_more_events_than_fit_in_flight(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        with line.lock:
            for k in range(3 * wire.WINDOW):
                line.device.bag_entry(k, f"bag-{k}")
        assert [e.tag for e in numbered(belt, 3 * wire.WINDOW)] == [f"bag-{k}" for k in range(3 * wire.WINDOW)]


def test_driver_that_died_with_events_in_hand_gets_them_again(line: Line) -> None:
    with line.lock:
        line.device.bag_entry(1, "a")

    def handle_and_die() -> None:
        with BeltController(line.port.link) as belt:
            first.extend(numbered(belt, 1))
            with line.lock:
                line.device.bag_exit(2)
            raise KeyError

    first: list[BeltEvent] = []
    with pytest.raises(KeyError):
        handle_and_die()
    with line.lock:
        line.device.bag_entry(3, "b")
    with BeltController(line.port.link) as belt:
        again = numbered(belt, 3)
        assert again[0] == first[0]
        assert [e.kind for e in again] == ["bag_entry", "bag_exit", "bag_entry"]
    with BeltController(line.port.link) as belt:
        assert all(e.kind == "encoder" for e in belt.poll())


def test_noisy_line_loses_and_invents_nothing(line: Line) -> None:
    rng = random.Random(4)  # noqa: S311

    def noise(data: bytes) -> bytes:
        return bytes(b ^ (1 << rng.randrange(8)) if rng.random() < 0.004 else b for b in data)

    with BeltController(line.port.link) as belt:
        line.noise = noise
        with line.lock:
            for k in range(40):
                line.device.bag_entry(k, f"bag-{k}")
        assert [e.tag for e in numbered(belt, 40)] == [f"bag-{k}" for k in range(40)]
        assert belt.corrupt_packets > 0
        line.noise = bytes


def test_belt_starts_and_stops(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt.start_belt()
        assert line.device.moving
        assert until(lambda: any(e.moving for e in belt.poll() if e.kind == "encoder"))
        belt.stop_belt()
        assert not line.device.moving


def test_open_interlock_stops_the_belt_and_refuses_to_start_it(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt.start_belt()
        with line.lock:
            line.device.set_interlock(False)
        assert not line.device.moving
        with pytest.raises(BeltRefused, match="interlock open"):
            belt.start_belt()


def test_clear_line_is_on_for_the_window_only(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt.clear_line(1000, 1300)
        seen = {}
        for encoder in (999, 1000, 1299, 1300):
            with line.lock:
                line.device.encoder = encoder
                line.device.step(b"", time.monotonic())
                seen[encoder] = line.device.clear_line
        assert seen == {999: False, 1000: True, 1299: True, 1300: False}


def test_clear_line_drops_when_the_lane_falls_silent(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt.clear_line(0, 1000)
        assert until(lambda: line.device.clear_line)
        with line.lock:
            line.late_s = wire.HEARTBEAT_TIMEOUT_S * 0.9
            line.device.step(b"", time.monotonic() + line.late_s)
            assert line.device.clear_line
        line.late_s = wire.HEARTBEAT_TIMEOUT_S * 2
        assert until(lambda: not line.device.clear_line)
        belt.heartbeat()
        time.sleep(0.05)
        assert not line.device.clear_line, "a window that was dropped does not come back"


def test_heartbeats_keep_the_clear_line(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        belt.clear_line(0, 1000)
        for k in range(1, 6):
            line.late_s = k * wire.HEARTBEAT_TIMEOUT_S * 0.8
            belt.heartbeat()
            belt.stop_belt()  # answered after the heartbeat was handled
        assert line.device.clear_line


@pytest.mark.parametrize(
    ("window", "reason"),
    [
        ((50, 50), "empty"),
        ((60, 50), "empty"),
        ((-20, -10), "past"),
        ((10, 10 + wire.MAX_CLEAR_UM + 1), "longer than"),
        ((150, 250), "overlaps"),
    ],
)
def test_bad_clear_windows_are_refused(line: Line, window: tuple[int, int], reason: str) -> None:
    with BeltController(line.port.link) as belt:
        belt.clear_line(100, 200)
        with pytest.raises(BeltRefused, match=reason):
            belt.clear_line(*window)
        belt.clear_line(200, 300)


def test_repeated_command_is_carried_out_once() -> None:
    device = BeltDevice(encoder_um=1.0)
    command = encode(Packet(Kind.CLEAR_LINE, 5, 77, (device.boot, 100, 200)))
    replies = [p for p in Decoder().feed(device.step(command + command, 0.0)) if p.kind == Kind.REPLY]
    assert [p.values for p in replies] == [(True, ""), (True, "")]
    assert device.machine.windows == [(100, 200)]


@pytest.mark.parametrize(("protocol", "firmware"), [(3, (3, 1)), (wire.PROTOCOL, (1, 9))])
def test_version_gate_names_both_sides(tmp_path: Path, protocol: int, firmware: tuple[int, int]) -> None:
    device = BeltDevice(1.0, protocol=protocol, firmware=firmware)
    spoken = rf"firmware {firmware[0]}\.{firmware[1]} speaks protocol {protocol}"
    with (
        serving(tmp_path / "belt", device) as served,
        pytest.raises(BeltVersionError, match=rf"{spoken}; .* protocol 2 and firmware 2\.0"),
    ):
        BeltController(served.port.link)


def test_controller_that_restarts_counts_anew(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        with line.lock:
            line.device.bag_entry(1, "before")
        (before,) = numbered(belt, 1)
        with line.lock:
            line.device = BeltDevice(encoder_um=1.0)
            line.device.bag_entry(9, "after")
        (after,) = numbered(belt, 1)
        assert after.tag == "after"
        assert after.seq == before.seq
        assert after.boot != before.boot


def test_events_that_the_controller_had_to_drop_do_not_stop_the_rest(line: Line) -> None:
    with BeltController(line.port.link) as belt:
        with line.lock:
            for k in range(MAX_EVENTS + 3):
                line.device.bag_exit(k)
        events = numbered(belt, MAX_EVENTS)
        assert [e.encoder for e in events] == list(range(3, MAX_EVENTS + 3))
        assert events[0].seq == 4, "the gap in seq shows the loss"


def test_vanished_controller_is_an_error_that_names_the_port(line: Line) -> None:
    belt = BeltController(line.port.link)
    line.close()

    def use() -> None:
        for _ in range(200):
            belt.heartbeat()
            belt.poll()

    with pytest.raises(LinkError, match=r"belt controller at .*belt"):
        use()
    belt.close()


def test_absent_and_dumb_devices_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LinkError, match="cannot be opened"):
        BeltController(tmp_path / "nothing")
    monkeypatch.setattr("firmware_bridge.belt.ANSWER_S", 0.02)
    port = PtyPort(tmp_path / "dumb")
    with pytest.raises(BeltError, match="did not answer HELLO after 4 attempts"):
        BeltController(port.link)
    port.close()


def test_noise_from_the_lane_never_upsets_the_controller() -> None:
    rng = random.Random(8)  # noqa: S311
    device = BeltDevice(encoder_um=1.0)
    for k in range(300):
        device.step(rng.randbytes(rng.randrange(60)), k * 0.01)
    for kind in (*Kind, 200):
        raw = bytearray(encode(Packet(Kind.HEARTBEAT, 1, 2)))
        device.step(bytes(raw), 3.0 + kind)
    assert not device.moving
    assert not device.clear_line
