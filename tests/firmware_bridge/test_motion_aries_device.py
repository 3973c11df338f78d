"""The emulated ARIES controller, without a line between."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import goniometer
from firmware_bridge.motion.aries_errors import describe as describe_aries
from firmware_bridge.motion.esp_errors import describe as describe_esp


def aries(device: AriesDevice, text: str, now_s: float = 0.0) -> str:
    return device.step(b"\x02" * device.serial + text.encode() + b"\r\n", now_s).decode()


def test_commands_as_the_manual_has_them() -> None:
    device = AriesDevice()
    assert aries(device, "IDN") == "C\tIDN\tARIES\t1\t4\t3\r\n"
    assert aries(device, "RAX") == "C\tRAX\t1\t4\r\n"
    assert aries(device, "APS1/0/1000/1") == "C\tAPS1\r\n"
    assert aries(device, "STR1") == "C\tSTR1\t1\t0\t2\t0\t0\t0\r\n"
    assert aries(device, "RDP1", 0.05) == "C\tRDP1\t500\r\n"
    assert aries(device, "RDP1/0", 5.0) == "C\tRDP1\t1000\r\n"
    assert aries(device, "STR1", 5.0) == "C\tSTR1\t0\t0\t0\t0\t0\t0\r\n"
    assert device.positions() == pytest.approx({1: 1.0, 2: 0.0, 3: 0.0, 4: 0.0})
    assert aries(device, "WRP1/70", 5.0) == "C\tWRP1\r\n"
    assert aries(device, "RDP1", 5.0) == "C\tRDP1\t70\r\n"
    assert aries(device, "WTB1/3/100/500/10/10/2", 5.0) == "C\tWTB1\r\n"
    assert aries(device, "RTB1/3", 5.0) == "C\tRTB1\t3\t100\t500\t10\t10\t2\r\n"
    assert aries(device, "RPS1/3/250/1", 5.0) == "C\tRPS1\r\n"
    assert aries(device, "RDP1", 5.5) == "C\tRDP1\t320\r\n"
    assert aries(device, "RSY1/2") == "C\tRSY1\t2\t3\r\n"
    assert aries(device, "WSY1/2/4") == "C\tWSY1\r\n"
    assert aries(device, "ROG1") == "C\tROG1\t0\r\n"


def test_the_answer_that_waits_for_the_end_of_the_move() -> None:
    device = AriesDevice()
    assert aries(device, "APS2/0/10000/0") == ""
    assert aries(device, "RDP1", 0.1) == "E\tRDP1\t803\r\n", "one at a time"
    assert device.step(b"", 0.9) == b""
    assert device.step(b"", 1.1) == b"C\tAPS2\r\n"
    assert aries(device, "APS2/0/30000/0", 1.1) == ""
    assert device.step(b"", 9.0) == b"E\tAPS2\t304\r\n"
    assert aries(device, "STR2", 9.0) == "C\tSTR2\t0\t0\t0\t2\t0\t0\r\n"
    assert aries(device, "APS2/0/0/0", 9.0) == ""
    assert aries(device, "STP2/0", 9.1) == "C\tSTP2\r\n"
    assert device.step(b"", 9.2) == b"C\tAPS2\r\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("APS", 100), ("APS1/0/1000", 100), ("APS9/0/1/1", 120), ("APS1/77/1/1", 102), ("APS1/0/1/2", 104),
        ("APS1/0/134217728/1", 310), ("JOG1", 4), ("aps1", 3), ("APS1/0/x/1", 3), ("RSY1/99", 121), ("STP1/7", 102),
        ("WTB1/0/1/900000/1/1/2", 104), ("WRP1/134217728", 102), ("APS1//1/1", 3),
    ],
)  # fmt: skip
def test_error_numbers(command: str, code: int) -> None:
    device = AriesDevice()
    assert aries(device, command).split("\t")[0::2] == ["E", f"{code}\r\n"]
    assert "no text" not in describe_aries("E", code)


def test_serial_lines_begin_with_stx_and_tcp_lines_do_not() -> None:
    assert AriesDevice(serial=True).step(b"RDP1\r\n", 0.0) == b"E\tRDP1\t1\r\n"
    assert AriesDevice(serial=False).step(b"\x02RDP1\r\n", 0.0) == b"E\tRDP1\t3\r\n"


def test_mute_and_faults_of_an_axis() -> None:
    device = AriesDevice()
    device.inject("mute")
    assert aries(device, "RDP1") == ""
    device.inject("mute", 0)
    device.inject("drive_fault", axis=4)
    assert aries(device, "APS4/0/1/1") == "E\tAPS4\t308\r\n"
    device.inject("drive_fault", 0, axis=4)
    assert aries(device, "APS4/0/1/1") == "C\tAPS4\r\n"
    with pytest.raises(ValueError, match="axis 5: this controller has 1, 2, 3, 4"):
        device.inject("stuck", axis=5)


@given(st.lists(st.binary(max_size=300)), st.booleans())
def test_any_bytes_are_survived_and_nothing_grows(chunks: list[bytes], serial: bool) -> None:
    device = AriesDevice(serial=serial)
    for number, chunk in enumerate(chunks):
        device.step(chunk, float(number))
    device.step(b"\r\n", 1e3)
    assert len(device._line) <= 80


@given(
    st.lists(
        st.builds(
            lambda name, numbers: name + "/".join(map(str, numbers)),
            st.sampled_from(["APS", "RPS", "ORG", "STP", "WRP", "WTB", "RTB", "WSY", "RSY", "RDP", "STR", "XYZ"]),
            st.lists(st.sampled_from([0, 1, 2, 16, -3, 100_000, 134_217_727, 10**20]), max_size=7),
        ),
        max_size=20,
    )
)
def test_any_commands_are_answered_once(commands: list[str]) -> None:
    device = AriesDevice({1: goniometer(), 2: goniometer()})
    for number, command in enumerate(commands):
        answers = aries(device, command, float(number)).split("\r\n")[:-1]
        assert len(answers) <= 2, "its own, and one that was owed"
        assert all(answer[0] in "CE" for answer in answers)
    assert all(map(math.isfinite, device.positions().values()))


def test_every_listed_error_says_what_to_do() -> None:
    for text in (describe_esp(104), describe_esp(4), describe_aries("E", 304), describe_aries("W", 350)):
        meaning, _, remedy = text.partition("; ")
        assert meaning
        assert remedy
    assert describe_esp(999) == "error that this program has no text for (error 999); see the controller's manual"
    assert (
        describe_aries("W", 9) == "warning that this program has no text for (warning 9); see the controller's manual"
    )
    assert describe_aries("E", 103).startswith("parameter 3 out of range (error 103)")
