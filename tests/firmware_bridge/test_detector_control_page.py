"""docs/reference/detector-control.md against lines, settings, driver constants and emulated command port."""

import json
import re
from pathlib import Path

import pytest

from firmware_bridge import detector_control, detector_settings
from firmware_bridge import detector_control_lines as wire
from firmware_bridge.detector_settings import DetectorSettings
from firmware_bridge.emulator.detector_control_device import DetectorControlDevice

PAGE = (Path(__file__).parents[2] / "docs/reference/detector-control.md").read_text(encoding="utf-8")
SETTINGS = DetectorSettings((20_000, 40_000), 8_403_361, 4, "127.0.0.1", 7148)


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under the line that starts with ``heading``."""
    block = PAGE.split(f"\n{heading}", 1)[1].split("\n|---", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[1:]]


def block(after: str) -> list[str]:
    """Lines of the indented block that follows the paragraph with ``after``."""
    text = PAGE.split(after, 1)[1].split("\n\n", 1)[1]
    return [line[4:] for line in text.split("\n\n", 1)[0].splitlines()]


def greeted() -> DetectorControlDevice:
    device = DetectorControlDevice(SETTINGS)
    device.step(wire.encode({"id": 1, "command": "hello", "protocol": wire.PROTOCOL}), 0.0)
    return device


def test_session() -> None:
    device, answer = DetectorControlDevice(SETTINGS), b""
    steps = block("An emulated detector that streams")
    assert len(steps) > 25
    for step in steps:
        kind, text = step[0], step[2:]
        if kind == ">":
            answer = device.step(text.encode() + b"\n", 0.0)
        elif kind == "!":
            fault, value = text.split()
            device.inject(fault, float(value))
        else:
            assert json.loads(answer) == json.loads(text)
    assert device.streaming


@pytest.mark.parametrize("line", block("Answered with `id` 0"))
def test_unreadable_lines(line: str) -> None:
    device = greeted()
    answer = wire.parse(device.step(line.encode() + b"\n", 0.0).rstrip(b"\n"))
    assert (answer["id"], answer["ok"]) == (0, False)
    assert device.streaming


@pytest.mark.parametrize("line", block("Refused under their own `id`"))
def test_refused_lines(line: str) -> None:
    device = greeted()
    answer = wire.parse(device.step(line.encode() + b"\n", 0.0).rstrip(b"\n"))
    assert (answer["id"], answer["ok"]) == (1, False)
    assert device.streaming
    assert device.settings == SETTINGS


def test_tables_are_those_of_the_code() -> None:
    assert [name for name, *_ in rows("| command | argument")] == list(wire.COMMANDS)
    ranges = {name: tuple(map(int, re.findall(r"\d+", text))) for name, text, _ in rows("| key | range")}
    assert ranges == {
        "thresholds_ev": detector_settings.THRESHOLD_EV,
        "exposure_ns": detector_settings.EXPOSURE_NS,
        "row_binning": detector_settings.ROW_BINNINGS,
        "host": (),
        "port": detector_settings.PORTS,
        "packet_bytes": detector_settings.PACKETS,
    }
    assert list(ranges) == list(SETTINGS.as_dict())
    for name, value, _ in rows("| name | value"):
        assert getattr(detector_control, name) == float(value)
    assert f"at most {wire.MAX_LINE} bytes" in PAGE
    assert f"1 to {wire.MAX_ID}" in PAGE
    assert f"now {wire.PROTOCOL}" in PAGE
