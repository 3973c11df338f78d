"""Detector control driver against the emulated command port on a TCP socket."""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from firmware_bridge import detector_control
from firmware_bridge import detector_control_lines as wire
from firmware_bridge.detector_control import (
    DetectorControl,
    DetectorControlError,
    DetectorRefused,
    DetectorSettings,
    DetectorVersionError,
    LinkError,
    SettingsError,
)
from firmware_bridge.emulator.detector_control_device import DetectorControlDevice
from tests.firmware_bridge.command_port import Change, Port

SETTINGS = DetectorSettings((20_000, 40_000), 8_403_361, 4, "127.0.0.1", 7148)


@pytest.fixture
def device() -> DetectorControlDevice:
    return DetectorControlDevice(SETTINGS)


@pytest.fixture
def port(device: DetectorControlDevice) -> Iterator[int]:
    with Port(lambda data: device.step(data, 0.0), device.new_connection) as served:
        yield served.port


def test_configure_reads_back_what_it_set(port: int, device: DetectorControlDevice) -> None:
    wanted = replace(SETTINGS, thresholds_ev=(20_000, 50_000), packet_bytes=1472)
    with DetectorControl("127.0.0.1", port) as control:
        assert control.status().streaming
        with pytest.raises(DetectorRefused, match="streaming; stop it first"):
            control.configure(wanted)
        control.stop()
        control.configure(wanted)
        control.start()
        status = control.status()
    assert status.streaming
    assert status.settings == device.settings == wanted
    assert (status.fault, status.firmware) == ("", "1.0.0")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"thresholds_ev": (40_000, 20_000)}, r"thresholds_ev is \(40000, 20000\); each must be above"),
        ({"thresholds_ev": (20_000,)}, "it must be 2 energies in eV"),
        ({"thresholds_ev": (20_000, 20_000)}, "each must be above"),
        ({"thresholds_ev": (4_999, 20_000)}, "thresholds_ev is 4999; .* from 5000 to 160000 eV"),
        ({"exposure_ns": 99_999}, "exposure_ns is 99999; .* from 100000 to 1000000000 ns"),
        ({"exposure_ns": 8.4e6}, r"exposure_ns is 8400000\.0; it must be a whole number"),
        ({"row_binning": 3}, r"row_binning is 3; it must be one of \(1, 2, 4\)"),
        ({"row_binning": True}, "row_binning is True"),
        ({"host": "detector.example"}, "host is 'detector.example'; it must be a literal IP address"),
        ({"host": "::"}, "the stream needs one receiver's address"),
        ({"host": "fe80::1%eth0"}, "the stream needs one receiver's address"),
        ({"port": 0}, "port is 0; .* from 1 to 65535"),
        ({"packet_bytes": 8_973}, "packet_bytes is 8973; .* from 1232 to 8972 bytes"),
        ({"packet_bytes": None}, "packet_bytes is None"),
    ],
)
def test_settings_out_of_range_cannot_be_made(change: dict[str, object], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        replace(SETTINGS, **change)  # type: ignore[arg-type]


def test_a_setting_that_reads_back_differently_is_an_error_that_names_both(device: DetectorControlDevice) -> None:
    def lose(data: bytes) -> bytes:
        return device.step(data, 0.0).replace(b'"packet_bytes":1472', b'"packet_bytes":1480')

    device.streaming = False
    with (
        Port(lose, device.new_connection) as served,
        DetectorControl("127.0.0.1", served.port) as control,
        pytest.raises(DetectorControlError, match="packet_bytes was set to 1472, reads back 1480; do not scan"),
    ):
        control.configure(replace(SETTINGS, packet_bytes=1472))


def test_overheating_stops_the_stream_until_it_is_cool_and_reset(port: int, device: DetectorControlDevice) -> None:
    with DetectorControl("127.0.0.1", port) as control:
        device.inject("overheat")
        status = control.status()
        assert (status.streaming, status.fault, status.temperature_c) == (False, "over-temperature", 78.0)
        with pytest.raises(DetectorRefused, match="refused start: over-temperature"):
            control.start()
        with pytest.raises(DetectorRefused, match="refused reset_fault: still 78 °C"):
            control.reset_fault()
        device.inject("overheat", 0)
        assert control.status().fault == "over-temperature"
        control.reset_fault()
        assert not control.status().streaming
        control.start()
        assert control.status().streaming


def test_a_binning_the_sensor_cannot_do_is_refused(port: int, device: DetectorControlDevice) -> None:
    device.streaming, device.binnings = False, (4,)
    with DetectorControl("127.0.0.1", port) as control, pytest.raises(DetectorRefused, match="row_binning 2 is not"):
        control.configure(replace(SETTINGS, row_binning=2))
    assert device.settings == SETTINGS


def test_the_next_connection_finds_everything_as_it_was(port: int, device: DetectorControlDevice) -> None:
    with DetectorControl("127.0.0.1", port) as control:
        control.stop()
        control.stop()
    with DetectorControl("127.0.0.1", port) as control:
        assert not control.status().streaming
    assert not device.streaming


def test_another_protocol_is_named_with_both_versions(device: DetectorControlDevice) -> None:
    device.protocol = 2
    with (
        Port(lambda data: device.step(data, 0.0)) as served,
        pytest.raises(DetectorVersionError, match=r"protocol 2 \(firmware '1.0.0'\), this driver 1; update"),
    ):
        DetectorControl("127.0.0.1", served.port)


def test_nobody_there_is_a_link_error_that_names_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(LinkError, match=rf"detector control at 127.0.0.1:{port}: no connection"):
        DetectorControl("127.0.0.1", port)


def test_a_connection_that_ends_is_a_link_error_and_stays_one(device: DetectorControlDevice) -> None:
    with Port(lambda data: b"" if b"status" in data else device.step(data, 0.0), device.new_connection) as served:
        served.hang_up_on = b"status"
        with DetectorControl("127.0.0.1", served.port) as control:
            for _ in range(2):
                with pytest.raises(LinkError, match=rf"127.0.0.1:{served.port}: connection lost .*; connect again"):
                    control.status()


def test_a_mute_detector_is_an_error_in_bounded_time(
    port: int, device: DetectorControlDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DetectorControl("127.0.0.1", port) as control, monkeypatch.context() as impatient:
        impatient.setattr(detector_control, "ANSWER_S", 0.2)
        device.inject("mute")
        with pytest.raises(DetectorControlError, match=r"did not answer status within 0.2 s; is it powered"):
            control.status()
        device.inject("mute", 0)
    with DetectorControl("127.0.0.1", port) as control:
        assert control.status().streaming


def test_bytes_that_only_drip_do_not_hold_the_caller(
    device: DetectorControlDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Port(lambda data: b'{"id":' if b"status" in data else device.step(data, 0.0), device.new_connection) as served:
        served.drip = b"0"
        control = DetectorControl("127.0.0.1", served.port)
        monkeypatch.setattr(detector_control, "ANSWER_S", 0.2)
        with control, pytest.raises(DetectorControlError, match="did not answer status"):
            control.status()


def result(**changes: object) -> Change:
    """Answers to status with some values changed."""

    def change(answer: bytes) -> bytes:
        message = json.loads(answer)
        message["result"].update(changes)
        return json.dumps(message).encode() + b"\n"

    return change


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda _: b"garbage\n", "makes no sense .*no JSON object"),
        (lambda _: b"\xff\xfe\n", "makes no sense .*no JSON object"),
        (lambda _: b"[" * 1500 + b"\n", "makes no sense"),
        (lambda _: b"x" * 4096, "a line is longer than 2048 bytes"),
        (lambda _: b"[1]\n", "is not a JSON object"),
        (lambda answer: answer.replace(b'"id":2', b'"id":1'), "it answers request 1, not 2"),
        (lambda _: b'{"id":2,"ok":true}\n', "result is missing"),
        (lambda _: b'{"id":2,"ok":1,"result":{}}\n', "neither ok nor refused"),
        (lambda _: b'{"id":2,"ok":false,"error":7}\n', "error is 7, not str"),
        (result(streaming=1), "streaming is 1, not bool"),
        (result(temperature_c="hot"), "temperature_c is 'hot', not a number"),
        (lambda answer: answer.replace(b"31.5", b"1e999"), "temperature_c is inf, not a number"),
        (result(frames_sent=True), "frames_sent is True, not int"),
        (result(settings={}), "they must be exactly"),
        (result(settings={**SETTINGS.as_dict(), "port": 0}), "port is 0"),
    ],
)
def test_an_answer_that_makes_no_sense_closes_the_connection(
    device: DetectorControlDevice, change: Change, text: str
) -> None:
    numbers = count(1)

    def answer(data: bytes) -> bytes:
        sound = device.step(data, 0.0)
        return change(sound) if next(numbers) == 2 else sound

    with Port(answer, device.new_connection) as served, DetectorControl("127.0.0.1", served.port) as control:
        with pytest.raises(DetectorControlError, match=rf"127.0.0.1:{served.port}: its answer to status .*{text}"):
            control.status()
        with pytest.raises(LinkError, match="connect again"):
            control.start()


def test_lines_in_any_portions_are_answered(device: DetectorControlDevice) -> None:
    hello = wire.encode({"id": 1, "command": "hello", "protocol": 1})
    answers = b"".join(device.step(hello[place : place + 1], 0.0) for place in range(len(hello)))
    assert answers == device.step(hello, 1.0)


def test_half_a_line_does_not_outlive_its_connection(device: DetectorControlDevice) -> None:
    device.step(b'{"id":1,"comm', 0.0)
    device.new_connection()
    assert b'"ok":true' in device.step(wire.encode({"id": 1, "command": "hello", "protocol": 1}), 0.0)
