"""The emulated belt controller by itself: lamps, times, restarts, windows and a failed encoder."""

import pytest

from firmware_bridge import belt_packets as wire
from firmware_bridge.belt import Light
from firmware_bridge.belt_packets import Decoder, Kind, Packet, encode
from firmware_bridge.emulator.belt_device import BeltDevice


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


def test_events_wait_for_a_lane_that_has_connected_until_it_acknowledges_them() -> None:
    device = BeltDevice(encoder_um=1.0)
    device.bag_entry(5, "a")
    waits = [device.unheard]
    sent = Decoder().feed(device.step(encode(Packet(Kind.HELLO, 1, 7)), 0.0))
    waits.append(device.unheard)
    (event,) = [packet for packet in sent if packet.kind == Kind.BAG_ENTRY]
    device.step(encode(Packet(Kind.ACK, event.seq, 7, (device.boot,))), 0.1)
    waits.append(device.unheard)
    assert waits == [False, True, False], "without a lane there is nobody to wait for"


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


def test_tag_that_is_too_long_is_cut_at_a_character() -> None:
    device = BeltDevice(encoder_um=1.0)
    device.bag_entry(0, "x" + "é" * 200)
    (event,) = [p for p in Decoder().feed(device.step(b"", 0.0)) if p.kind == Kind.BAG_ENTRY]
    assert event.values[2] == "x" + "é" * 63
