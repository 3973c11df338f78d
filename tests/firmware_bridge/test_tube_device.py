"""The emulated generator by itself: time is given, so nothing here waits."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firmware_bridge.emulator.tube_device import TubeDevice
from firmware_bridge.tube_packets import DONE, Decoder, encode


def ask(device: TubeDevice, now_s: float, command: str, *args: int) -> tuple[str, ...]:
    (message,) = Decoder().feed(device.step(encode(command, *args), now_s))
    assert message.command == command
    return message.args


def switched_on(**values: float) -> TubeDevice:
    device = TubeDevice(filament=True, warm_up_s=0.0, **values)
    for command, value in (("10", 2048), ("11", 137), ("98", 1)):
        assert ask(device, 0.0, command, value) == (DONE,)
    return device


@pytest.mark.parametrize(("rest_h", "seconds"), [(0.0, 60.0), (8.0, 60.0), (9.0, 180.0), (72.0, 180.0), (1e4, 600.0)])
def test_warm_up_is_longer_after_a_longer_rest(rest_h: float, seconds: float) -> None:
    device = TubeDevice(warm_up_s=60.0, rest_h=rest_h)
    ask(device, 0.0, "70", 1)
    device.step(b"", seconds - 0.01)
    assert not device.ready
    device.step(b"", seconds)
    assert ask(device, seconds, "22")[15] == "1"


def test_a_filament_switched_off_and_on_warms_up_again() -> None:
    device = TubeDevice(warm_up_s=5.0)
    ask(device, 0.0, "70", 1)
    device.step(b"", 5.0)
    ask(device, 5.0, "70", 0)
    ask(device, 5.0, "70", 1)
    assert not device.ready
    assert ask(device, 10.0, "22")[15] == "1"


def test_output_follows_the_ramp_and_stops_at_once() -> None:
    device = switched_on(ramp_s=1.0)
    assert device.output(0.0) == 0.0
    assert device.output(0.5) == pytest.approx(0.5**3, rel=1e-3)
    assert device.output(1.0) == device.output(2.0) == 1.0
    ask(device, 2.0, "98", 0)
    assert device.output(2.0) == device.output(3.0) == 0.0


def test_set_points_that_change_while_on_are_ramped_to() -> None:
    device = switched_on(ramp_s=1.0)
    device.step(b"", 1.0)
    ask(device, 1.0, "10", 1024)
    device.step(b"", 1.5)
    assert 40.0 < device.kv < 80.0
    device.step(b"", 5.0)
    assert device.kv == pytest.approx(40.0, abs=0.02)
    assert device.output(5.0) == 1.0


@pytest.mark.parametrize("ramp_s", [0.0, 0.5])
def test_zero_set_points_give_no_photons(ramp_s: float) -> None:
    device = switched_on(ramp_s=ramp_s)
    device.step(b"", 1.0)
    ask(device, 1.0, "11", 0)
    device.step(b"", 3.0)
    assert (device.ma, device.output(3.0)) == (0.0, 0.0)


def test_hours_count_while_the_beam_is_on() -> None:
    device = switched_on(hours=10.0, watchdog_s=0.0)
    device.step(b"", 3600.0)
    assert ask(device, 3600.0, "21") == ("11.0000",)


def test_the_watchdog_is_fed_by_any_message_and_ends_the_beam_without() -> None:
    device = switched_on(watchdog_s=2.0)
    for now in range(1, 20):
        ask(device, float(now), "21")
        assert device.output(float(now)) > 0
    device.step(b"noise", 20.9)
    assert device.output(20.9) > 0
    device.step(b"noise", 21.1)
    assert device.output(21.1) == 0
    assert device.fault == "watchdog: no message from the lane in time"


def test_a_mute_generator_hears_nothing_either() -> None:
    device = switched_on(watchdog_s=2.0)
    device.inject("mute")
    assert device.step(encode("22"), 1.0) == b""
    assert device.output(1.0) > 0
    assert device.step(encode("22"), 2.5) == b""
    assert device.output(2.5) == 0
    device.inject("mute", 0)
    assert device.step(encode("22"), 2.6) != b""


def test_a_fault_whose_cause_remains_is_not_reset() -> None:
    device = switched_on()
    device.inject("over_temperature")
    assert not device.beam
    ask(device, 1.0, "31")
    assert device.fault == "over-temperature: anode"
    device.inject("over_temperature", 0)
    assert device.fault
    ask(device, 1.0, "31")
    assert device.fault == ""


def test_an_injected_open_interlock_holds_whatever_the_contact_does() -> None:
    device = switched_on()
    device.inject("interlock")
    device.set_interlock(True)
    assert not device.interlock_closed
    assert ask(device, 1.0, "98", 1) == ("!", "4")
    device.inject("interlock", 0)
    device.set_interlock(False)
    assert ask(device, 1.0, "98", 1) == ("!", "4")
    device.set_interlock(True)
    assert ask(device, 1.0, "98", 1) == (DONE,)


def test_an_unknown_fault_is_named() -> None:
    with pytest.raises(ValueError, match="no fault 'fire'; it has arc, interlock, mute"):
        TubeDevice().inject("fire")


class NeverOnByItself(RuleBasedStateMachine):
    """Whatever happens in whatever order: the beam is on only if BEAM 1 was accepted after all that takes it down."""

    def __init__(self) -> None:
        super().__init__()
        self.device = TubeDevice(warm_up_s=1.0)
        self.now = 0.0
        self.permitted = False

    @rule(command=st.sampled_from(["10", "11", "12", "07"]), value=st.integers(0, 4096))
    def set_number(self, command: str, value: int) -> None:
        ask(self.device, self.now, command, value)

    @rule(command=st.sampled_from(["70", "98", "32"]), value=st.integers(0, 2))
    def switch(self, command: str, value: int) -> None:
        done = ask(self.device, self.now, command, value) == (DONE,)
        if command == "98" and done:
            self.permitted = bool(value)
        if command == "70" and value == 0:
            self.permitted = False

    @rule(command=st.sampled_from(["30", "22", "68", "19", "31"]))
    def request(self, command: str) -> None:
        ask(self.device, self.now, command)
        if command == "31":
            self.permitted = False

    @rule()
    def switch_on_as_a_lane_does(self) -> None:
        for fault in TubeDevice.FAULTS:
            self.device.inject(fault, 0.0)
        self.request("31")
        self.switch("70", 1)
        self.wait(20.0)
        for command, value in (("10", 2048), ("11", 137)):
            self.set_number(command, value)
        self.switch("98", 1)
        assert self.device.beam

    @rule(fault=st.sampled_from(TubeDevice.FAULTS[:2] + TubeDevice.FAULTS[3:]), value=st.sampled_from([0.0, 1.0]))
    def inject(self, fault: str, value: float) -> None:
        self.device.inject(fault, value)
        if value:
            self.permitted = False

    @rule(seconds=st.floats(0.0, 30.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.device.step(b"\x02noise", self.now)
        if self.device.fault:
            self.permitted = False

    @invariant()
    def beam_only_when_permitted(self) -> None:
        device = self.device
        assert not device.beam or self.permitted
        assert not device.beam or (device.interlock_closed and device.filament and not device.fault)
        assert device.beam or device.output(self.now) == device.kv == device.ma == 0.0


NeverOnByItself.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestNeverOnByItself = NeverOnByItself.TestCase
