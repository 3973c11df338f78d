"""docs/reference/tube-protocol.md against messages, driver constants and emulated generator."""

import re
from pathlib import Path

import pytest

from firmware_bridge import tube, tube_link
from firmware_bridge import tube_packets as wire
from firmware_bridge.emulator.tube_device import TubeDevice

PAGE = (Path(__file__).parents[2] / "docs/reference/tube-protocol.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the table under the line that starts with ``heading``."""
    block = PAGE.split(f"\n{heading}", 1)[1].split("\n|---", 1)[1].split("\n\n", 1)[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[1:]]


VECTORS = [(message, bytes.fromhex(data)) for message, data, _ in rows("| message | bytes")]
REJECTED = [bytes.fromhex(data) for data, _ in rows("| bytes | why")]


@pytest.mark.parametrize(("message", "data"), VECTORS)
def test_vectors(message: str, data: bytes) -> None:
    command, *args = message.split(",")
    assert wire.encode(command, *args) == data
    assert wire.Decoder().feed(data) == [wire.Message(command, tuple(args))]


@pytest.mark.parametrize("data", REJECTED)
def test_rejected_vectors(data: bytes) -> None:
    assert wire.Decoder().feed(data) == []
    assert TubeDevice().step(data, 0.0) == b""


@pytest.mark.parametrize("data", [data for _, data in VECTORS if len(data) < 20])
def test_no_message_with_one_damaged_byte_is_accepted(data: bytes) -> None:
    for place, sent in enumerate(data):
        for received in set(range(256)) - {sent}:
            damaged = data[:place] + bytes([received]) + data[place + 1 :]
            assert wire.Decoder().feed(damaged) == []


def test_tables_are_those_of_the_code() -> None:
    commands = {name: value for name, value in vars(wire.Command).items() if not name.startswith("_")}
    assert {name: number for number, name, _, _ in rows("| number | name")} == commands
    for place, name, _ in rows("| place | name"):
        assert wire.Flag[name] == int(place)
    cells = [cell for row in rows("| place | fault") for cell in row]
    faults = dict(zip(map(int, cells[::2]), cells[1::2], strict=True))
    assert tuple(faults[place] for place in sorted(faults)) == wire.FAULT_TEXTS
    values = {name: float(value) for name, value, _ in rows("| name | value")}
    assert values.pop("watchdog") == TubeDevice().watchdog_s
    assert values == {
        name: getattr(tube_link if hasattr(tube_link, name) else tube, name)
        for name in ("ATTEMPTS", "ANSWER_S", "DOWN_S", "TOLERANCE")
    }


def test_session() -> None:
    device, now, answers = TubeDevice(warm_up_s=2.0, ramp_s=1.0), 0.0, b""
    steps = re.findall(r"^ {4}(at|>|<|!) (.+)$", PAGE.split("## A session", 1)[1], re.MULTILINE)
    assert len(steps) > 50
    for kind, text in steps:
        if kind == "at":
            # The generator runs on between messages, as it does on a line that is quiet.
            while now < float(text):
                now = min(now + 0.125, float(text))
                assert device.step(b"", now) == b""
        elif kind == "!":
            fault, value = text.split()
            device.inject(fault, float(value))
        elif kind == ">":
            answers = device.step(wire.encode(*text.split(",")), now)
        else:
            assert answers == wire.encode(*text.split(",")), text
