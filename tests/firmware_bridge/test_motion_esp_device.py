"""The emulated ESP controller, without a line between."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.emulator.axis_device import Stage, goniometer, mask_stage, sample_stage
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion.esp_errors import describe as describe_esp


def esp(device: EspDevice, text: str, now_s: float = 0.0) -> str:
    return device.step(text.encode() + b"\r", now_s).decode()


def test_commands_as_the_manual_has_them() -> None:
    device = EspDevice({1: mask_stage(), 2: mask_stage(), 3: sample_stage()})
    assert esp(device, "1SN?") == "2\r\n", "millimetres at power-up"
    assert esp(device, "1MO;1PA0.1;1PA?;1MD?") == "0.1\r\n0\r\n"
    assert esp(device, "TS") == "Q\r\n", "axis 1 in motion, a motor on"
    assert esp(device, "1TP?;1DP?", 0.1) == "0.04\r\n0.04\r\n"
    device.step(b"", 10.0)
    assert device.step(b"1TP\r1MD?\r1tp?\r", 10.0) == b"0.1\r\n1\r\n0.1\r\n"
    assert esp(device, "TS", 10.0) == "P\r\n"
    assert esp(device, "VE?", 10.0).startswith("ESP300 Version")
    assert esp(device, "1SN3;1PR-20;1PA?", 10.0) == "80\r\n"
    assert esp(device, "1VA200;1VA?;1FE?", 10.0) == "200\r\n20\r\n"
    assert esp(device, "3SR?;3SL?", 10.0) == "300\r\n-300\r\n"
    assert esp(device, "ST;1MD?", 10.0) == "1\r\n"
    assert device.positions() == {1: 100.0, 2: 0.0, 3: 0.0}
    assert esp(device, "1MO?;AB;1MO?", 10.0) == "1\r\n0\r\n"


def test_homing_and_its_origin() -> None:
    device = EspDevice({1: Stage(-40.0, home_switch=-30.0)})
    esp(device, "1SN3;1MO;1SH5;1OR1;1PA3")
    assert esp(device, "TE?") == "130\r\n", "no command while homing"
    assert esp(device, "1MD?", 60.0) == "1\r\n"
    assert esp(device, "1TP;PH", 60.0) == "5\r\n0H, 1H\r\n"
    assert device.positions() == {1: pytest.approx(-30.0)}
    esp(device, "1OR0", 60.0)
    assert esp(device, "1TP", 120.0) == "0\r\n"
    assert device.positions() == {1: pytest.approx(-35.0)}
    esp(device, "1OR1", 120.0)
    assert esp(device, "1ST;TB?", 120.0) == "120, 120000, HOMING ABORTED\r\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("1ZZ1", 6), ("garbage", 6), ("PA1", 37), ("4PA1", 9), ("0PA1", 9), ("2PA1", 208), ("1PA", 38), ("1PAx", 6),
        ("1PA1", 113), ("1SN9", 101), ("1SN4", 101), ("1VA0", 101), ("1OR9", 101), ("1PA1e40", 7), ("1TP5", 6),
        ("1MO;1PA1", 106), ("1MO;1PA-1", 107),
    ],
)  # fmt: skip
def test_error_numbers(command: str, code: int) -> None:
    device = EspDevice()
    assert esp(device, command) == ""
    assert esp(device, "TE?") == f"{code}\r\n"
    assert esp(device, "TE?") == "0\r\n"
    assert "no text" not in describe_esp(code)


def test_errors_are_queued_and_told_in_words() -> None:
    device = EspDevice()
    for _ in range(30):
        esp(device, "1PA1")
    esp(device, "1XX")
    answers = [esp(device, "TB?", 1.5) for _ in range(11)]
    assert answers[0] == "113, 1500, MOTOR NOT ENABLED\r\n"
    assert answers[9:] == ["6, 1500, COMMAND DOES NOT EXIST\r\n", "0, 1500, NO ERROR DETECTED\r\n"]


def test_hardware_status_has_the_limit_switches() -> None:
    device = EspDevice({1: mask_stage(20.0), 2: mask_stage(20.0), 3: mask_stage(20.0)})
    assert esp(device, "PH") == "0H, 0H\r\n"
    device.inject("limit", 1.0, axis=1)
    device.inject("limit", -1.0, axis=3)
    assert esp(device, "PH") == "401H, 0H\r\n"


def test_mute() -> None:
    device = EspDevice()
    device.inject("mute")
    assert esp(device, "TE?") == ""
    device.inject("mute", 0)
    assert esp(device, "TE?") == "0\r\n"
    with pytest.raises(ValueError, match="axis 2: this controller has 1"):
        device.inject("stuck", axis=2)
    with pytest.raises(ValueError, match="has axes 1 to 3"):
        EspDevice({4: mask_stage()})


@given(st.lists(st.binary(max_size=300)))
def test_any_bytes_are_survived_and_nothing_grows(chunks: list[bytes]) -> None:
    device = EspDevice()
    for number, chunk in enumerate(chunks):
        device.step(chunk, float(number))
    device.step(b"\r", 1e3)
    assert len(device._line) <= 80
    assert len(device._waiting) <= 64
    assert all(map(math.isfinite, device.positions().values()))


@given(
    st.lists(
        st.builds(
            lambda axis, name, value: f"{axis}{name}{value}",
            st.sampled_from(["", "1", "2", "9"]),
            st.sampled_from(["PA", "PR", "SN", "SL", "SR", "VA", "FE", "SH", "OR", "DH", "WS", "MO", "MF", "ST"]),
            st.sampled_from(["", "?", "0", "1", "-5", "3", "1E9", "1E-9", "-1E9", "10", "1E400", "+-1"]),
        ),
        max_size=20,
    )
)
def test_any_commands_are_answered_or_an_error(commands: list[str]) -> None:
    device = EspDevice({1: mask_stage(), 2: goniometer()})
    for number, command in enumerate(commands):
        for line in esp(device, command, float(number)).splitlines():
            assert math.isfinite(float(line))
    assert all(map(math.isfinite, device.positions().values()))
