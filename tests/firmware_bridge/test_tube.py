"""X-ray generator driver against the emulated generator on a pseudo-terminal."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_bridge import tube_link
from firmware_bridge import tube_packets as wire
from firmware_bridge.emulator.tube_device import TubeDevice
from firmware_bridge.tube import LinkError, TubeError, TubeLimits, TubeRefused, XRayTube
from tests.firmware_bridge.tube_line import Change, TubeLine, wait_ready


@pytest.fixture
def line(tmp_path: Path) -> Iterator[TubeLine]:
    with TubeLine(tmp_path / "tube", TubeDevice(warm_up_s=0.05, ramp_s=0.1)) as line:
        yield line


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up on an answer soon."""
    monkeypatch.setattr(tube_link, "ANSWER_S", 0.2)


def test_warm_up_then_on_then_off(line: TubeLine) -> None:
    with XRayTube(line.path) as tube:
        status = tube.status()
        assert (status.state, status.interlock_closed, status.fault) == ("off", True, "")
        wait_ready(tube)
        tube.beam_on(80.0, 1.0)
        status = tube.status()
        assert status.state == "on"
        assert status.kv == pytest.approx(80.0, abs=0.1)
        assert status.ma == pytest.approx(1.0, abs=0.02)
        assert (status.kv_set, status.ma_set, status.deviation) == (80.0, 1.0, "")
        assert line.device.output(time.monotonic()) == pytest.approx(1.0, abs=0.05)
        tube.beam_off()
        assert tube.status().state == "ready"
        assert line.device.output(time.monotonic()) == 0.0


def test_nothing_but_beam_on_switches_on(line: TubeLine) -> None:
    """Not power-up, warm-up, interlock, fault, reset, a new driver: each is followed by a look at the device."""
    device = line.device
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        assert not device.beam
        tube.beam_on(80.0, 1.0)
        line.inject("interlock")
        assert not device.beam
        assert not tube.status().interlock_closed
        line.inject("interlock", 0)
        assert (tube.status().state, device.beam) == ("ready", False)
        tube.beam_on(80.0, 1.0)
        line.inject("arc")
        assert (tube.status().state, tube.status().fault) == ("fault", "arc: anode")
        tube.reset_fault()
        assert (tube.status().state, device.beam) == ("ready", False)
        tube.beam_on(80.0, 1.0)
    assert not device.beam, "closing takes the beam down"
    with XRayTube(line.path) as tube:
        assert (tube.status().state, device.beam) == ("ready", False)


def test_a_driver_that_finds_the_beam_on_takes_it_down(line: TubeLine) -> None:
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        tube.beam_on(80.0, 1.0)
        tube._link.close()  # as a process that was killed
    assert line.device.beam
    with XRayTube(line.path) as tube:
        assert tube.status().state == "ready"
    assert not line.device.beam


@pytest.mark.parametrize(
    ("kv", "ma", "text"),
    [
        (19.9, 1.0, "19.9 kV is outside 20 to 130 kV"),
        (130.1, 1.0, "130.1 kV is outside 20 to 130 kV"),
        (80.0, 0.04, "0.04 mA is outside 0.05 to 10 mA"),
        (80.0, 10.1, "10.1 mA is outside"),
        (float("nan"), 1.0, "nan kV is outside"),
        (80.0, float("inf"), "inf mA is outside"),
    ],
)
def test_limits_are_checked_before_anything_is_sent(line: TubeLine, kv: float, ma: float, text: str) -> None:
    with XRayTube(line.path) as tube:
        line.heard = b""
        with pytest.raises(TubeRefused, match=text):
            tube.beam_on(kv, ma)
        assert line.heard == b""


def test_the_generators_own_maxima_hold_too(line: TubeLine) -> None:
    with XRayTube(line.path, limits=TubeLimits(kv=(20.0, 500.0), ma=(0.1, 500.0))) as tube:
        with pytest.raises(TubeRefused, match=r"161.0 kV is outside 20 to 160 kV"):
            tube.beam_on(161.0, 1.0)
        with pytest.raises(TubeRefused, match=r"31.0 mA is outside 0\.1 to 30 mA"):
            tube.beam_on(100.0, 31.0)


def test_refusals_name_every_reason(line: TubeLine) -> None:
    line.device.watchdog_s = 0.0
    line.device.local = True
    with XRayTube(line.path) as tube:
        line.inject("interlock")
        with pytest.raises(TubeRefused, match=r"local mode.*interlock is open.*not warm.*watchdog is off"):
            tube.beam_on(80.0, 1.0)
        line.inject("over_temperature")
        for action in (tube.warm_up, lambda: tube.beam_on(80.0, 1.0)):
            with pytest.raises(TubeRefused, match="over-temperature: anode; remove the cause, then reset_fault"):
                action()
        with pytest.raises(TubeError, match="still reports over-temperature: anode after the reset"):
            tube.reset_fault()
        line.inject("over_temperature", 0)
        tube.reset_fault()
        assert tube.status().fault == ""


@pytest.mark.parametrize(
    ("fault", "text", "state"),
    [
        ("arc", "arc: anode", "ready"),
        ("over_current", "over-current", "ready"),
        ("filament", "filament: feedback", "off"),
        ("interlock", "interlock open", "ready"),
    ],
)
def test_a_fault_during_the_ramp_ends_it(line: TubeLine, fault: str, text: str, state: str) -> None:
    def strike(answer: bytes) -> bytes:
        if answer == wire.encode("98", wire.DONE) and line.device.beam:
            line.device.inject(fault)
        return answer

    with XRayTube(line.path) as tube:
        wait_ready(tube)
        line.answered = strike
        with pytest.raises(TubeError, match=rf"went off by itself \({text}\); beam_on is needed again"):
            tube.beam_on(80.0, 1.0)
        line.answered = bytes
        line.inject(fault, 0)
        tube.reset_fault()
        assert tube.status().state == state
        assert not line.device.beam


def test_a_set_point_that_reads_back_differently_keeps_the_beam_off(line: TubeLine) -> None:
    line.answered = lambda answer: wire.encode("14", 2000) if answer.startswith(b"\x0214,") else answer
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        with pytest.raises(TubeError, match=r"set to 80 kV \(2048 counts\) but reads back 2000 counts"):
            tube.beam_on(80.0, 1.0)
        assert b"\x0298,1" not in line.heard


def test_an_output_that_is_not_reached_takes_the_beam_down_and_names_both(line: TubeLine) -> None:
    line.device.ramp_s = 1e6
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        with pytest.raises(TubeError, match=r"80 kV commanded, .* kV measured; 1 mA commanded, .* mA measured; beam"):
            tube.beam_on(80.0, 1.0, timeout_s=0.2)
        assert not line.device.beam


def test_a_deviation_while_on_is_named(line: TubeLine) -> None:
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        tube.beam_on(80.0, 1.0)
        line.answered = lambda answer: wire.encode("19", 1707, 137, *[0] * 6) if b"\x0219," in answer else answer
        assert tube.status().deviation == "1 mA commanded, 1.204 mA measured"
        tube.beam_off()
        assert tube.status().deviation == ""


def test_a_beam_nobody_here_asked_for_is_named(line: TubeLine) -> None:
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        line.device.beam = True
        assert tube.status().deviation == "the beam is on although nobody commanded it here"
        tube.beam_off()


def test_the_watchdog_ends_the_beam_of_a_lane_that_is_silent(line: TubeLine) -> None:
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        tube.beam_on(80.0, 1.0)
        line.device.watchdog_s = 0.05
        deadline = time.monotonic() + 10.0
        while line.device.beam and time.monotonic() < deadline:
            time.sleep(0.01)
        assert tube.status().fault == "watchdog: no message from the lane in time"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda _: b"", "no answer to command 28"),
        (lambda _: b"\x00\xff garbage \x03\x02\x03", "unreadable answers to command 28"),
        (lambda answer: answer[:-2] + b"@\x03", "unreadable answers to command 28"),
        (lambda answer: answer[: len(answer) // 2], "no answer to command 28"),
        (lambda _: wire.encode("22", 0), "no answer to command 28"),
        (lambda _: wire.encode("28", "160", "NAN", "0"), r"answered '160,NAN,0' to command 28"),
        (lambda _: wire.encode("28", "160"), r"answered '160' to command 28"),
        (lambda _: wire.encode("28", "0", "0", "0"), r"maxima are 0.0 kV and 0.0 mA"),
        (lambda _: wire.encode("28", "!", "2"), r"answered '!,2' to command 28"),
    ],
)
@pytest.mark.usefixtures("impatient")
def test_a_line_that_lies_is_an_error_that_names_the_port(line: TubeLine, change: Change, text: str) -> None:
    line.answered = change
    with pytest.raises(TubeError, match=rf"x-ray generator at {line.path}.*{text}.*; "):
        XRayTube(line.path)


def test_one_damaged_answer_is_asked_for_again(line: TubeLine) -> None:
    damaged: list[bytes] = []

    def damage(answer: bytes) -> bytes:
        if not answer.startswith(b"\x0222,") or answer in damaged:
            return answer
        damaged.append(answer)
        return answer[:-3] + b"\x03"

    line.answered = damage
    with XRayTube(line.path) as tube:
        assert tube.status().state == "off"
    assert damaged


def test_an_unanswered_beam_on_is_followed_by_beam_off(line: TubeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        monkeypatch.setattr(tube_link, "ANSWER_S", 0.2)
        line.answered = lambda answer: b"" if answer == wire.encode("98", wire.DONE) and line.device.beam else answer
        with pytest.raises(TubeError, match="no answer to command 98 in 1 attempts"):
            tube.beam_on(80.0, 1.0)
        assert line.heard.count(wire.encode("98", 1)) == 1
        assert not line.device.beam


def test_a_generator_gone_mute_with_the_beam_on_says_what_to_do(
    line: TubeLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        monkeypatch.setattr(tube_link, "ANSWER_S", 0.2)
        line.device.ramp_s = 1e6
        line.answered = lambda answer: answer if not line.device.beam else b""
        line.asked = lambda data: data if not line.device.beam else b""
        with pytest.raises(TubeError, match="the beam may be on, open the interlock by hand"):
            tube.beam_on(80.0, 1.0)
        line.inject("mute")
        with pytest.raises(TubeError, match="no answer to command 22 in 3 attempts"):
            tube.status()


def test_a_beam_off_that_does_nothing_is_an_error(line: TubeLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.tube.DOWN_S", 0.1)
    with XRayTube(line.path) as tube:
        wait_ready(tube)
        tube.beam_on(80.0, 1.0)
        line.asked = lambda data: data.replace(wire.encode("98", 0), wire.encode("98", 1))
        with pytest.raises(TubeError, match="acknowledged 'beam off' but says that the beam is on; open the interlock"):
            tube.beam_off()
        line.asked = bytes


def test_a_port_that_is_not_there_is_a_link_error(tmp_path: Path) -> None:
    with pytest.raises(LinkError, match=r"x-ray generator at .*missing: cannot be opened"):
        XRayTube(tmp_path / "missing")


def test_the_port_can_be_opened_again_after_a_failure(line: TubeLine) -> None:
    line.answered = lambda _: wire.encode("28", "0", "0", "0")
    with pytest.raises(TubeError):
        XRayTube(line.path)
    line.answered = bytes
    with XRayTube(line.path) as tube:
        assert tube.status().state == "off"
