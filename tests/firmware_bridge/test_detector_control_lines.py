"""Lines of the detector's command port: every decoder takes anything; what it accepts is what was sent."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import detector_control_lines as wire
from firmware_bridge.detector_control_lines import LineError, LineSplitter, encode, parse
from firmware_bridge.detector_settings import DetectorSettings, SettingsError
from firmware_bridge.emulator.detector_control_device import DetectorControlDevice

SETTINGS = DetectorSettings((20_000, 40_000), 8_403_361, 4, "127.0.0.1", 7148)
KEYS = st.one_of(st.sampled_from(["id", "command", "settings", "protocol", *SETTINGS.as_dict()]), st.text(max_size=8))
SCALARS = st.one_of(
    st.sampled_from([None, True, False, 0, 1, 4, -1, 2**63, 0.5, "127.0.0.1", "é€😀" * 20, *wire.COMMANDS]),
    st.integers(),
    st.text(max_size=20),
)
VALUES = st.one_of(
    SCALARS,
    st.just(SETTINGS.as_dict()),
    st.builds(lambda key, value: {**SETTINGS.as_dict(), key: value}, KEYS, SCALARS),
    st.lists(SCALARS, max_size=3),
    st.dictionaries(KEYS, SCALARS, max_size=4),
)
MESSAGES = st.dictionaries(KEYS, VALUES, max_size=3)
REQUESTS = st.builds(
    lambda command, values: {**values, "id": 1, "command": command}, st.sampled_from(wire.COMMANDS), MESSAGES
)


def fits(message: dict[str, object]) -> bool:
    return len(json.dumps(message, separators=(",", ":"))) < wire.MAX_LINE


@settings(max_examples=50)
@given(st.lists(MESSAGES.filter(fits), max_size=4), st.lists(st.integers(0, 5000), max_size=6))
def test_round_trip_in_any_portions(messages: list[dict[str, object]], cuts: list[int]) -> None:
    data = b"".join(map(encode, messages))
    splitter, lines = LineSplitter(), []
    for start, stop in pairwise([0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]):
        lines += splitter.feed(data[start:stop])
    assert [parse(line) for line in lines] == messages


@given(st.binary(max_size=300))
def test_anything_parses_or_is_a_line_error(line: bytes) -> None:
    try:
        value = parse(line)
    except LineError:
        return
    assert isinstance(value, dict)


@settings(max_examples=50)
@given(st.lists(st.one_of(st.binary(max_size=100), REQUESTS.filter(fits).map(encode)), max_size=8))
def test_the_device_answers_anything_with_lines_and_keeps_sound_settings(received: list[bytes]) -> None:
    device = DetectorControlDevice(SETTINGS)
    device.step(encode({"id": 1, "command": "hello", "protocol": 1}), 0.0)
    for part in received:
        for line in LineSplitter().feed(device.step(part, 0.0)):
            answer = parse(line)
            assert set(answer) == ({"id", "ok", "result"} if answer["ok"] else {"id", "ok", "error"})
    assert DetectorSettings.from_dict(device.settings.as_dict()) == device.settings


@given(VALUES)
def test_settings_are_sound_or_refused(values: object) -> None:
    try:
        accepted = DetectorSettings.from_dict(values)
    except SettingsError:
        return
    assert accepted.as_dict() == values


def test_a_line_of_any_length_is_cut_off() -> None:
    device = DetectorControlDevice(SETTINGS)
    assert b"a line is longer than 2048 bytes" in device.step(b"x" * 5000, 0.0)
    assert b'"ok":true' in device.step(b"\n" + encode({"id": 1, "command": "hello", "protocol": 1}), 0.0)


@pytest.mark.parametrize("message", [{"a": "x" * 2048}, {"a": float("nan")}, {"a": b"bytes"}])
def test_what_is_no_line_is_not_sent(message: dict[str, object]) -> None:
    with pytest.raises(LineError):
        encode(message)


def test_an_unknown_fault_is_named() -> None:
    with pytest.raises(ValueError, match="no fault 'fire'; it has overheat, mute"):
        DetectorControlDevice(SETTINGS).inject("fire")
