"""The emulated motion controllers and their stages, without a line between."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.emulator.aries_device import AriesDevice
from firmware_bridge.emulator.axis_device import Stage, goniometer, mask_stage, sample_stage
from firmware_bridge.emulator.esp_device import EspDevice
from firmware_bridge.motion.aries_errors import describe as describe_aries
from firmware_bridge.motion.esp_errors import describe as describe_esp


def esp(device: EspDevice, text: str, now_s: float = 0.0) -> str:
    return device.step(text.encode() + b"\r", now_s).decode()


def aries(device: AriesDevice, text: str, now_s: float = 0.0) -> str:
    return device.step(b"\x02" * device.serial + text.encode() + b"\r\n", now_s).decode()


class TestStage:
    def test_it_moves_with_its_speed(self) -> None:
        stage = Stage(velocity=100.0)
        stage.powered = True
        stage.move(10.0)
        stage.advance(0.04)
        assert stage.position == pytest.approx(4.0)
        assert not stage.at_rest
        stage.advance(0.07)
        assert stage.position == 10.0
        assert stage.at_rest

    @pytest.mark.parametrize("start", [-300.0, -1.0, 0.0, 1.0, 300.0])
    @pytest.mark.parametrize("closed_loop", [True, False])
    def test_home_is_where_the_switch_changes(self, start: float, closed_loop: bool) -> None:
        stage = Stage(start, home_switch=12.5, closed_loop=closed_loop, powered=True)
        stage.find_home()
        for _ in range(3000):
            stage.advance(0.01)
        assert stage.homed
        assert stage.at_rest
        assert stage.position == pytest.approx(12.5)
        assert list(stage.events) == ["homed"]

    def test_limit_switch_ends_the_motion_there(self) -> None:
        stage = Stage(powered=True)
        stage.move(900.0)
        stage.advance(10.0)
        assert (stage.position, stage.limit, list(stage.events)) == (550.0, "upper", ["upper"])
        stage.move(0.0)
        stage.advance(10.0)
        assert (stage.position, stage.limit) == (0.0, "")

    def test_stuck_with_encoder_catches_up_and_without_loses_steps(self) -> None:
        for closed_loop, there in ((True, 8.0), (False, 3.0)):
            stage = Stage(velocity=1.0, closed_loop=closed_loop, powered=True)
            stage.inject("stuck")
            stage.move(5.0)
            stage.advance(10.0)
            assert stage.position == 0.0
            assert stage.at_rest is not closed_loop
            stage.inject("stuck", 0)
            stage.move(8.0)
            stage.advance(10.0)
            assert stage.position == pytest.approx(there)

    def test_a_broken_drive_stays_off(self) -> None:
        stage = Stage(powered=True)
        stage.move(10.0)
        stage.inject("drive_fault")
        assert not stage.power(True)
        stage.advance(1.0)
        assert stage.position == 0.0
        stage.inject("drive_fault", 0)
        assert stage.power(True)

    def test_unknown_fault(self) -> None:
        with pytest.raises(ValueError, match="fault 'rust': a stage knows stuck, limit, drive_fault"):
            Stage().inject("rust", 1.0)

    @given(
        st.lists(
            st.one_of(
                st.tuples(st.just("move"), st.floats(-1e3, 1e3)),
                st.tuples(st.just("wait"), st.floats(0, 3)),
                st.tuples(st.sampled_from(["home", "halt", "off", "on"]), st.just(0.0)),
                st.tuples(st.sampled_from(["stuck", "limit", "drive_fault"]), st.sampled_from([-1.0, 0.0, 1.0])),
            )
        ),
        st.booleans(),
    )
    def test_it_never_leaves_its_switches_and_jumps_no_farther_than_it_can(
        self, deeds: list[tuple[str, float]], closed_loop: bool
    ) -> None:
        stage = Stage(velocity=300.0, closed_loop=closed_loop, powered=True)
        for deed, value in deeds:
            before = stage.position
            behind = abs(stage.commanded - stage.position) if closed_loop else 0.0
            reach = 0.0
            if deed == "move":
                stage.move(value)
            elif deed == "wait":
                stage.advance(value)
                reach = 300.0 * value + behind
            elif deed == "home":
                stage.find_home()
            elif deed == "halt":
                stage.halt()
            elif deed in ("off", "on"):
                stage.power(deed == "on")
            else:
                stage.inject(deed, value)
            assert abs(stage.position - before) <= reach + 1e-9
            assert -550.0 - 1e-9 <= stage.position <= 550.0 + 1e-9


class TestEsp:
    def test_commands_as_the_manual_has_them(self) -> None:
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

    def test_homing_and_its_origin(self) -> None:
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
    def test_error_numbers(self, command: str, code: int) -> None:
        device = EspDevice()
        assert esp(device, command) == ""
        assert esp(device, "TE?") == f"{code}\r\n"
        assert esp(device, "TE?") == "0\r\n"
        assert "no text" not in describe_esp(code)

    def test_errors_are_queued_and_told_in_words(self) -> None:
        device = EspDevice()
        for _ in range(30):
            esp(device, "1PA1")
        esp(device, "1XX")
        answers = [esp(device, "TB?", 1.5) for _ in range(11)]
        assert answers[0] == "113, 1500, MOTOR NOT ENABLED\r\n"
        assert answers[9:] == ["6, 1500, COMMAND DOES NOT EXIST\r\n", "0, 1500, NO ERROR DETECTED\r\n"]

    def test_hardware_status_has_the_limit_switches(self) -> None:
        device = EspDevice({1: mask_stage(20.0), 2: mask_stage(20.0), 3: mask_stage(20.0)})
        assert esp(device, "PH") == "0H, 0H\r\n"
        device.inject("limit", 1.0, axis=1)
        device.inject("limit", -1.0, axis=3)
        assert esp(device, "PH") == "401H, 0H\r\n"

    def test_mute(self) -> None:
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
    def test_any_bytes_are_survived_and_nothing_grows(self, chunks: list[bytes]) -> None:
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
    def test_any_commands_are_answered_or_an_error(self, commands: list[str]) -> None:
        device = EspDevice({1: mask_stage(), 2: goniometer()})
        for number, command in enumerate(commands):
            for line in esp(device, command, float(number)).splitlines():
                assert math.isfinite(float(line))
        assert all(map(math.isfinite, device.positions().values()))


class TestAries:
    def test_commands_as_the_manual_has_them(self) -> None:
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

    def test_the_answer_that_waits_for_the_end_of_the_move(self) -> None:
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
    def test_error_numbers(self, command: str, code: int) -> None:
        device = AriesDevice()
        assert aries(device, command).split("\t")[0::2] == ["E", f"{code}\r\n"]
        assert "no text" not in describe_aries("E", code)

    def test_serial_lines_begin_with_stx_and_tcp_lines_do_not(self) -> None:
        assert AriesDevice(serial=True).step(b"RDP1\r\n", 0.0) == b"E\tRDP1\t1\r\n"
        assert AriesDevice(serial=False).step(b"\x02RDP1\r\n", 0.0) == b"E\tRDP1\t3\r\n"

    def test_mute_and_faults_of_an_axis(self) -> None:
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
    def test_any_bytes_are_survived_and_nothing_grows(self, chunks: list[bytes], serial: bool) -> None:
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
    def test_any_commands_are_answered_once(self, commands: list[str]) -> None:
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
